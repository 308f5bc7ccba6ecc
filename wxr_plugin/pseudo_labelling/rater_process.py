"""A rater in a process of its own."""

import os
import signal
import threading
import time
import weakref
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.memory import is_out_of_memory
from wxr_plugin.pseudo_labelling.gate import ImageRating, image_ratings
from wxr_plugin.pseudo_labelling.rating_client import reason
from wxr_plugin.vlm.rater import Rater

PATIENCE = 5
"""Seconds that a process gets to end after SIGTERM."""


class Started(NamedTuple):
    """The first message of a process: its rater is ready, or could not be built."""

    provenance: dict[str, Any]
    error: str = ""
    out_of_memory: bool = False


class Rated(NamedTuple):
    """Ratings of the images of one `send`; None, with the error, if the rater raised."""

    ratings: list[ImageRating] | None
    error: str = ""
    out_of_memory: bool = False


class RaterProcess:
    """A rater in a spawned process, which ends with this process, however this one ends.

    Args:
        rater: options of the rater.
        plugins: packages that may register it, as in the option file.
        gpu: number of the GPU that `cuda` without a number means in the process; None: torch's
            current one.

    Attributes:
        stop: ends the process; called anyway when this object or the interpreter goes.
    """

    def __init__(self, rater: dict[str, Any], plugins: Sequence[str], gpu: int | None = None):
        context = get_context("spawn")
        self._jobs = context.Queue()
        # Jobs that nobody will read must not hold up the end of training.
        self._jobs.cancel_join_thread()
        self._messages, sender = context.Pipe(duplex=False)
        arguments = (rater, list(plugins), os.getpid(), self._jobs, sender, gpu)
        self._process = context.Process(target=serve, args=arguments, name="wxr rater", daemon=True)
        self._process.start()
        # Only the process itself can write now, so its death shows as the end of the messages.
        sender.close()
        self.stop = weakref.finalize(self, _end, self._process, os.getpid())

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def send(self, images: list[np.ndarray]) -> None:
        """Send images to be rated in one call; never waits, since a thread of the queue does."""
        self._jobs.put(images)

    def messages(self) -> list[Started | Rated]:
        """Return the messages that came since the last call; never waits.

        Raises EOFError if the process has died.
        """
        messages = []
        while self._messages.poll():
            messages.append(self._messages.recv())
        return messages

    def wait(self) -> Started:
        """Return the first message when it comes. Raises WxrError if the rater cannot be built."""
        try:
            first = self._messages.recv()
        except EOFError:
            self._process.join(PATIENCE)
            first = Started({}, f"its process ended with exit code {self._process.exitcode}")
        if first.error:
            self.stop()
            raise WxrError(f"train.rating.async: the rater does not start: {first.error}")
        return first


def serve(
    rater: dict[str, Any],
    plugins: list[str],
    parent: int,
    jobs: Any,
    messages: Connection,
    gpu: int | None = None,
) -> None:
    """Build the rater on `gpu`, then rate until this process is ended."""
    # Ctrl-C reaches all processes of the terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    try:
        if gpu is not None:
            torch.cuda.set_device(gpu)
        built = _build(rater, plugins)
        messages.send(Started(built.provenance))
    except Exception as error:
        messages.send(Started({}, reason(error), is_out_of_memory(error)))
        return
    while True:
        messages.send(_rated(built, jobs.get()))


def _build(options: dict[str, Any], plugins: list[str]) -> Rater:
    from wxr_plugin.options.plugins import import_plugins
    from wxr_plugin.vlm.rater import build_rater

    import_plugins({"plugins": plugins})
    return build_rater(options)


def _rated(rater: Rater, images: list[np.ndarray]) -> Rated:
    try:
        return Rated(image_ratings(rater.rate(images)))
    # A model or a server may raise anything; training decides how to react.
    except Exception as error:
        return Rated(None, reason(error), is_out_of_memory(error))


def _watch(parent: int) -> None:
    """End this process once its parent has ended, even in the middle of a rating."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _end(process: Any, owner: int) -> None:
    if os.getpid() != owner:  # a forked data-loading worker
        return
    process.terminate()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
