"""Clients that send images to a rater, and what training does when the rater fails.

A rater that fails leaves the labels as they are; running out of memory ends the training.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

from basicsr.utils import get_root_logger

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.memory import is_out_of_memory
from wxr_plugin.pseudo_labelling.gate import (
    ImageRating,
    RatingRequest,
    image_ratings,
    with_ratings,
)
from wxr_plugin.vlm.rater import Rater

LONGEST_PAUSE = 127
"""Calls that are skipped at most after a failure."""


class RatingMemoryError(WxrError):
    """Rating ran out of memory, and would do so again."""


class RatingClient(Protocol):
    """How PseudoLabels reaches a rater: in this process or in another one.

    Attributes:
        provenance: all that a rating depends on.
        rated: images that got a rating since this was last set to 0.
        failures: a line for each image without a rating, since this was last emptied.
        out_of_memory: the same for images for which there was no memory; they are not among the
            failures.
    """

    provenance: dict[str, Any]
    rated: int
    failures: list[str]
    out_of_memory: list[str]

    def is_busy(self, key: str) -> bool:
        """Return whether a request for `key` is being rated."""

    def rate(self, requests: Sequence[RatingRequest]) -> list[RatingRequest]:
        """Send `requests`, and return those, these or earlier ones, that are rated by now."""

    def close(self) -> None:
        """Release the rater; no request follows."""


class SyncRatingClient:
    """Rating client that rates in this process, all images of a call at once, and waits.

    A rater that raises leaves all requests of the call unrated. The next calls are then skipped,
    1, 3, 7, … up to LONGEST_PAUSE while it keeps raising, so that time-outs of a dead server do not
    slow each iteration.
    """

    def __init__(self, rater: Rater):
        self.rater = rater
        self.provenance = rater.provenance
        self.rated = 0
        self.failures: list[str] = []
        self.out_of_memory: list[str] = []
        self._calls_to_skip = 0
        self._failures_in_a_row = 0

    def is_busy(self, key: str) -> bool:
        """Return False: no request outlives its call."""
        return False

    def rate(self, requests: Sequence[RatingRequest]) -> list[RatingRequest]:
        """Return the rated requests; none if the rater failed or this call is skipped."""
        images = [image for request in requests for image in request.unrated()]
        if not images:
            return []
        if self._calls_to_skip:
            self._calls_to_skip -= 1
            return []
        try:
            ratings = image_ratings(self.rater.rate(images))
        except Exception as error:  # whatever a model or a server may raise
            self._note(error, len(images))
            return []
        # NaN is an answer: the rater works, so no call is skipped.
        self._failures_in_a_row = 0
        unusable = unusable_ratings(ratings)
        self.failures += unusable
        self.rated += len(ratings) - len(unusable)
        return with_ratings(requests, ratings)

    def close(self) -> None:
        """Do nothing: the rater lives as long as this process."""

    def _note(self, error: Exception, images: int) -> None:
        lines = [reason(error)] * images
        if is_out_of_memory(error):
            self.out_of_memory += lines
            return
        self.failures += lines
        self._failures_in_a_row += 1
        # Exponential back-off: a server that comes back is found after at most LONGEST_PAUSE calls.
        self._calls_to_skip = min(2**self._failures_in_a_row - 1, LONGEST_PAUSE)


def unusable_ratings(ratings: Sequence[ImageRating]) -> list[str]:
    """Return a line for each rating that is NaN."""
    count = sum(math.isnan(item.rating) for item in ratings)
    whole_call = ", nor on any other image of this call" if count == len(ratings) > 1 else ""
    return [f"no usable answer (NaN) on an image{whole_call}"] * count


def check_memory(reasons: Sequence[str], iteration: int) -> None:
    """Raise RatingMemoryError if `reasons`, a line for each image without memory, is not empty."""
    if reasons:
        raise RatingMemoryError(
            f"iteration {iteration}: rating {len(reasons)} images ran out of memory "
            f"({reasons[-1]}), so training stops: without ratings the pseudo-labels would stay as "
            "they are. Lower train.rater.batch_size, set train.rater.quantization: 8bit (or 4bit), "
            "rate on another GPU (train.rating.async: {device: ...}), or lower "
            "datasets.train.batch_size_per_gpu; then resume with --auto_resume"
        )


def reason(error: BaseException) -> str:
    """Return type and message of `error` in one line of at most some 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


class FailureLog:
    """Counts images without a rating, and logs the 1st, 10th, 100th, … of them."""

    def __init__(self, rater: dict[str, Any]):
        self.count = 0
        self.name = str(rater.get("model") or rater.get("metric") or rater.get("type"))

    def add(self, reasons: Sequence[str]) -> None:
        """Count failures, and log a warning if the count passes a power of ten."""
        before = self.count
        self.count += len(reasons)
        if reasons and _digits(before) < _digits(self.count):
            get_root_logger().warning(
                f"rating_failures {self.count}: the rater ({self.name}) gave no rating; "
                f"{reasons[-1]}. The stored pseudo-labels stay and training continues. Try the "
                "rater on a photo with `wxr label rate`: is a server up, does its model answer "
                "with the rating words? A rater that never answers leaves all labels as they are"
            )


def _digits(count: int) -> int:
    return len(str(count)) if count else 0
