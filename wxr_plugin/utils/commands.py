"""Exit codes of commands, and one-line messages for errors that the user can fix."""

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wxr_plugin.errors import WxrError, plain
from wxr_plugin.utils.verbosity import is_verbose

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class TerminatedError(KeyboardInterrupt):
    """SIGTERM arrived.

    It derives from KeyboardInterrupt, so that clean-up for Ctrl-C also runs after SIGTERM.
    """


def run_command(name: str, job: Callable[[], int | None]) -> int:
    """Run `job` and return the exit code of the command `name`.

    The exit code is the return value of the job (None counts as 0); 2 for an error that
    `user_message` explains, which is printed to stderr; 130 after Ctrl-C and 143 after SIGTERM, the
    codes that shells give such processes; 1 if the reader of stdout, such as head, has exited.
    Other errors keep their traceback.
    """
    try:
        with _sigterm_as_interrupt():
            return job() or 0
    except TerminatedError:
        print(f"{name}: stopped by SIGTERM", file=sys.stderr)
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Python flushes stdout at exit, which would raise again on the closed pipe.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        return 1
    except Exception as error:
        message = user_message(error)
        if message is None:
            raise
        if is_verbose():
            traceback.print_exc()
        print(f"{name}: {message}", file=sys.stderr)
        return 2


def user_message(error: BaseException) -> str | None:
    """Return the line that explains `error` to a user, or None for a bug.

    The causes of `error` are searched for a full disk as well, since torch reports one as a
    RuntimeError about file positions.
    """
    if isinstance(error, WxrError):
        return _without_worker_traceback(error)
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in DISK_FULL:
            return (
                f"{plain(cause)}; free some space and run the command again, finished work is kept"
            )
    if isinstance(error, OSError):
        return plain(error)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error` and the errors that it was raised from or while handling."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _without_worker_traceback(error: Exception) -> str:
    """Return the message of `error` without a data worker's traceback."""
    text = str(error)
    # torch re-raises the error of a worker as "Caught ... in DataLoader worker", traceback first.
    if not text.startswith("Caught "):
        return text
    _, _, message = text.rpartition(f"{type(error).__name__}: ")
    return message.rstrip()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Raise TerminatedError in the main thread when SIGTERM arrives within the block.

    A handler that somebody else installed, or an ignored SIGTERM, is left in place.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second SIGTERM ends the process at once
        raise TerminatedError

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
