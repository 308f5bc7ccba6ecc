"""Let basicsr 1.4.2 build on Python 3.13 and later; Python imports this file from PYTHONPATH.

basicsr's setup.py executes its version file inside a function and reads `locals()` afterwards.
Since Python 3.13 (PEP 667) `exec` writes to a copy of a function's locals, so the version is
missing and the build stops with KeyError: '__version__'. Here `exec` without namespaces uses those
of its caller.
"""

import builtins
import functools
import sys


def in_namespaces_of_caller(run):
    """Wrap `exec` so that, without namespaces, it changes the variables of its caller."""

    @functools.wraps(run)
    def execute(source, globals=None, locals=None, /, **options):
        if globals is None:
            caller = sys._getframe(1)
            # f_locals of a function writes through to its variables since Python 3.13.
            globals, locals = caller.f_globals, caller.f_locals if locals is None else locals
        return run(source, globals, locals, **options)

    return execute


if sys.version_info >= (3, 13):
    builtins.exec = in_namespaces_of_caller(builtins.exec)
