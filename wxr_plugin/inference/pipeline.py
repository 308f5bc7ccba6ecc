"""Restoring many photos: while one is computed, the next is read and the last ones are written."""

import errno
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wxr_plugin.data.images.photo import Photo, read_photo, write_photo
from wxr_plugin.errors import WxrError

if TYPE_CHECKING:
    from wxr_plugin.inference.restorer import Restorer

AHEAD = 1
"""Number of photos that wait for the network while it computes another one."""
WRITERS = 2
"""Number of threads that write results; the network waits before there are more."""
HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


Finish = Callable[[Path, np.ndarray, np.ndarray], np.ndarray]
"""Takes a photo's file, its pixels and the restored ones; returns the pixels that are written."""


class Outcome(NamedTuple):
    """Result of restoring one photo."""

    photo: Path
    pixels: int = 0
    """Number of pixels of the photo; 0 if it failed."""
    error: str = ""
    """Reason why there is no result, with the name of the file; empty on success."""
    note: str = ""
    """Remark for the user."""


def restore_files(
    jobs: Mapping[Path, Path],
    restorer: "Restorer",
    quality: int = 95,
    finish: Finish | None = None,
) -> Iterator[Outcome]:
    """Restore the photo of each result file of `jobs` and yield an outcome for each.

    `finish` is called for one photo after another, in the order of `jobs`.

    At most AHEAD + 1 photos and WRITERS + 1 results are in memory. Results are written atomically.
    If the caller stops, or is stopped by Ctrl-C, computed results are still written.

    Raises:
        WxrError: the disk is full or cannot be written to at all; what was restored before is kept.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(WRITERS) as writer:
        reading = _read_ahead(jobs, reader)
        writing: deque[tuple[Outcome, Path, Future]] = deque()
        try:
            for target, source, future in reading:
                outcome, restored = _restored(source, future, restorer, finish)
                # Wait for the oldest result: a slow disk must not fill the memory with results.
                while len(writing) >= WRITERS:
                    yield _written(*writing.popleft())
                if restored is None:
                    yield outcome
                else:
                    writing.append(
                        (outcome, target, writer.submit(write_photo, target, restored, quality))
                    )
            while writing:
                yield _written(*writing.popleft())
        finally:
            # Photos read ahead are dropped; leaving `with` waits for results that were submitted.
            reader.shutdown(wait=False, cancel_futures=True)


def _read_ahead(
    jobs: Mapping[Path, Path], reader: ThreadPoolExecutor
) -> Iterator[tuple[Path, Path, Future]]:
    waiting: deque[tuple[Path, Path, Future]] = deque()
    for target, source in jobs.items():
        waiting.append((target, source, reader.submit(read_photo, source)))
        # Resumed when the caller wants the next photo, so reading stays AHEAD of the network.
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _restored(
    source: Path, future: Future, restorer: "Restorer", finish: Finish | None
) -> tuple[Outcome, Photo | None]:
    """Restore a photo; return None and the reason if it fails, so that the others are restored."""
    try:
        photo = future.result()
        pixels = restorer.restore(photo.pixels)
        if finish is not None:
            pixels = finish(source, photo.pixels, pixels)
        outcome = Outcome(source, photo.pixels.size // 3, note=_note(photo, restorer))
        return outcome, photo._replace(pixels=pixels)
    except WxrError as error:
        reason = str(error)
        if not reason.startswith(str(source)):
            reason = f"{source}: {reason}"
        return Outcome(source, error=reason), None
    except Exception as error:  # third-party networks raise anything
        return Outcome(source, error=f"{source}: {_named(error)}"), None


def _note(photo: Photo, restorer: "Restorer") -> str:
    notes = []
    if restorer.names_degradations:
        word, chance = restorer.degradation()
        notes.append(f"{word} {chance:.1%}")
    if photo.frames > 1:
        notes.append(f"holds {photo.frames} images; the first one is restored")
    return "; ".join(notes)


def _written(outcome: Outcome, target: Path, future: Future) -> Outcome:
    try:
        future.result()
        return outcome
    except WxrError as error:
        return outcome._replace(pixels=0, error=f"{outcome.photo}: {error}")
    except OSError as error:
        why = f"{target}: cannot be written ({error.strerror})"
        if error.errno in HOPELESS:
            raise WxrError(f"{why}; what was restored before is kept") from error
        return outcome._replace(pixels=0, error=why)
    except Exception as error:
        # Encoders raise anything; the other photos must still be restored.
        why = f"{target}: cannot be written ({_named(error)})"
        return outcome._replace(pixels=0, error=why)


def _named(error: Exception) -> str:
    """Return the type and the message of an error on one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"
