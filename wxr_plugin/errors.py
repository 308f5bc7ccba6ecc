"""Errors that a user can mend: the commands print them as one line, without a traceback, and exit with code 2."""


class WxrError(Exception):
    """Base of every error that the user, not the code, has to mend.

    The message says what is wrong, where, and how to mend it. Errors of a part of the package (a bad image, a bad
    option file) derive from it.
    """


class OptionError(WxrError):
    """An option file that cannot be used. `problems` are what was found, all of it."""

    def __init__(self, message: str, problems: tuple = ()):
        super().__init__(message)
        self.problems = tuple(problems)


def plain(error: BaseException) -> str:
    """Return an error as one line: of the system's errors (`[Errno 2] …`) the path and what is wrong with it."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        words = {"No such file or directory": "no such file or folder"}
        return f"{error.filename}: {words.get(error.strerror, error.strerror[0].lower() + error.strerror[1:])}"
    return " ".join(str(error).split())
