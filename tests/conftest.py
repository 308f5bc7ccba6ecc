"""Imported before any test: the package repairs the host, whose own import fails on current packages otherwise."""

import importlib.util
import sys
from pathlib import Path

import wxr_plugin  # noqa: F401

for helpers in ("parity", "vlm"):  # modules that tests of other folders share
    sys.path.insert(0, str(Path(__file__).parent / helpers))

_mmagic = importlib.util.find_spec("mmagic")  # the folder of tests beside this file would be a spec without an origin
collect_ignore = [] if _mmagic and _mmagic.origin else ["mmagic"]  # for make test-mmagic
