"""Raters, describers and rewriters; each `*_rater.py`, … of this folder registers its class."""

from pathlib import Path

from wxr_plugin.utils.modules import import_all

for _suffix in ("_rater", "_describer", "_rewriter"):
    import_all(__name__, str(Path(__file__).parent), _suffix)
