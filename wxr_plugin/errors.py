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
