"""Imported before any test: the package repairs the host, whose own import fails on current packages otherwise."""

import importlib.util
import sys
from pathlib import Path

import wxr_plugin  # noqa: F401

for helpers in ("parity", "vlm"):  # modules that tests of other folders share
    sys.path.insert(0, str(Path(__file__).parent / helpers))

collect_ignore = [] if importlib.util.find_spec("mmagic") else ["mmagic"]  # make test-mmagic
