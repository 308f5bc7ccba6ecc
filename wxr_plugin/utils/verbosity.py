"""How much a command prints apart from its results: set by -q and -v, read by bars and errors."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_NORMAL, _QUIET, _VERBOSE = range(3)
_state = {"level": _NORMAL}


@contextmanager
def printing(quiet: bool = False, verbose: bool = False) -> Iterator[None]:
    """Leave out bars and warnings (`quiet`), or add tracebacks (`verbose`), within the block."""
    logger = logging.getLogger("basicsr")
    before, log_level = _state["level"], logger.level
    _state["level"] = _QUIET if quiet else _VERBOSE if verbose else _NORMAL
    if quiet:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _state["level"] = before
        logger.setLevel(log_level)


def note(line: str) -> None:
    """Print a line that is no result to stderr, unless -q was given."""
    if not is_quiet():
        print(line, file=sys.stderr)


def is_quiet() -> bool:
    """Return whether progress bars are left out (-q)."""
    return _state["level"] == _QUIET


def is_verbose() -> bool:
    """Return whether errors are printed with their traceback (-v)."""
    return _state["level"] == _VERBOSE
