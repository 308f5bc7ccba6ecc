"""How much commands print besides their results: set by -q and -v, read by bars and errors."""

import logging

_NORMAL, _QUIET, _VERBOSE = range(3)
_state = {"level": _NORMAL}


def set_verbosity(quiet: bool = False, verbose: bool = False) -> None:
    """Set what this process prints; by default bars and warnings, without tracebacks."""
    _state["level"] = _QUIET if quiet else _VERBOSE if verbose else _NORMAL
    if quiet:
        logging.getLogger("basicsr").setLevel(logging.ERROR)


def is_quiet() -> bool:
    """Return whether progress bars are left out (-q)."""
    return _state["level"] == _QUIET


def is_verbose() -> bool:
    """Return whether errors are printed with their traceback (-v)."""
    return _state["level"] == _VERBOSE
