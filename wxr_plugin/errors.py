"""Errors that a user can fix: commands print them as one line and exit with code 2."""

import errno
import os


class WxrError(Exception):
    """Base of every error that the user can fix.

    The message names the place, the problem and the fix. Errors of a part of the package (a bad
    image, a bad option file) derive from this class.
    """


class OptionError(WxrError):
    """An option file that cannot be used.

    Args:
        message: the text of the error.
        problems: all problems of the file.
    """

    def __init__(self, message: str, problems: tuple = ()):
        super().__init__(message)
        self.problems = tuple(problems)


def plain(error: BaseException) -> str:
    """Return `error` as one line; for an error of the system without its number: path, reason."""
    if not isinstance(error, OSError) or not error.strerror:
        return " ".join(str(error).split())
    lowered = error.strerror[0].lower() + error.strerror[1:]
    reason = _REASONS.get(error.errno or 0, lowered)
    return reason if error.filename is None else f"{os.fsdecode(error.filename)}: {reason}"


_REASONS = {
    errno.ENOENT: "no such file or folder",
    errno.EISDIR: "a folder, where a file is needed",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "exists and is not a folder",
    errno.EROFS: "read-only file system; choose another folder",
    errno.EACCES: "permission denied",
}
