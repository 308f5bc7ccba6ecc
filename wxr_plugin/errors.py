"""Errors that a user can fix: the commands print them as one line, without a traceback, and exit with code 2."""

import errno
import os


class WxrError(Exception):
    """Base of every error that the user can fix.

    The message says what is wrong, where, and how to fix it. Errors of a part of the package (a bad
    image, a bad option file) derive from it.
    """


class OptionError(WxrError):
    """An option file that cannot be used. `problems` are what was found, all of it."""

    def __init__(self, message: str, problems: tuple = ()):
        super().__init__(message)
        self.problems = tuple(problems)


def plain(error: BaseException) -> str:
    """Return `error` as one line; for an error of the system, `[Errno 2] ...`, that is the path and the reason."""
    if not isinstance(error, OSError) or not error.strerror:
        return " ".join(str(error).split())
    reason = _REASONS.get(error.errno, error.strerror[0].lower() + error.strerror[1:])
    return reason if error.filename is None else f"{os.fsdecode(error.filename)}: {reason}"


_REASONS = {errno.ENOENT: "no such file or folder"}
