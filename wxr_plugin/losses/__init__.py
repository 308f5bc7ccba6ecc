"""Losses that BasicSR's registry knows after this import: every `*_loss.py` of this folder."""

from pathlib import Path

from wxr_plugin.utils.modules import import_all

import_all(__name__, str(Path(__file__).parent), "_loss")
