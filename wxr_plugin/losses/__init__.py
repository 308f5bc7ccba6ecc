"""Losses; importing this package adds every `*_loss.py` of it to BasicSR's registry."""

from pathlib import Path

from wxr_plugin.utils.modules import import_all

import_all(__name__, str(Path(__file__).parent), "_loss")
