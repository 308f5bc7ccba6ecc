"""Datasets: importing this package registers every `*_dataset.py` of it with BasicSR."""

from pathlib import Path

from wxr_plugin.utils.modules import import_all

import_all(__name__, str(Path(__file__).parent), "_dataset")
