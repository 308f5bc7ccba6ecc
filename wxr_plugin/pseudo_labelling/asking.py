"""Asking a rater in the training process.

A rater that fails leaves labels as they are; one without memory stops it.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

from basicsr.utils import get_root_logger

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.memory import is_out_of_memory
from wxr_plugin.pseudo_labelling.gate import Question
from wxr_plugin.vlm.rater import Rater

LONGEST_PAUSE = 127


class RatingMemoryError(WxrError):
    """Rating ran out of memory, and would do so again."""


class Asker(Protocol):
    """How PseudoLabels asks: at once, or through another process.

    Attributes:
        provenance: all that a rating depends on.
        rated: images that got a rating since this was last set to 0.
        failures: what went wrong since this was last emptied, a line for each image without a
            rating.
        out_of_memory: the same for images for which there was no memory; they are not among the
            failures.
    """

    provenance: dict[str, Any]
    rated: int
    failures: list[str]
    out_of_memory: list[str]

    def is_busy(self, key: str) -> bool:
        """Whether a question about `key` is under way."""

    def ask(self, questions: Sequence[Question]) -> list[Question]:
        """Ask, and return the questions that have been answered by now, be they these or earlier ones."""

    def close(self) -> None:
        """Nothing will be asked any more."""


class DirectAsker:
    """Rates in this process, all images of a call at once, and waits for it.

    A rater that raises leaves all questions of the call unanswered; the next calls are then left
    out, 1, 3, 7, … up to 127 while it goes on raising, so that a dead server's time-outs do not
    slow each iteration.
    """

    def __init__(self, rater: Rater):
        self.rater, self.provenance = rater, rater.provenance
        self.rated, self.failures, self.out_of_memory = 0, [], []
        self._pause, self._in_a_row = 0, 0

    def is_busy(self, key: str) -> bool:
        """Never: each question is answered at once."""
        return False

    def ask(self, questions: Sequence[Question]) -> list[Question]:
        """The questions with their ratings; none where the rater failed or is left alone."""
        images = [image for question in questions for image in question.unrated()]
        if not images or self._pause:
            self._pause -= bool(self._pause and images)
            return []
        try:
            ratings = self.rater.rate(images).rating.tolist()
        except Exception as error:  # whatever a model or a server may raise
            if is_out_of_memory(error):
                self.out_of_memory += [reason(error)] * len(images)
                return []
            self._in_a_row += 1
            self._pause = min(2**self._in_a_row - 1, LONGEST_PAUSE)
            self.failures += [reason(error)] * len(images)
            return []
        self._in_a_row = 0
        self.failures += unusable(ratings)
        self.rated += len(ratings) - len(unusable(ratings))
        return answered(questions, ratings)

    def close(self) -> None:
        """Nothing to do."""


def answered(questions: Sequence[Question], ratings: Sequence[float]) -> list[Question]:
    """`questions` with the ratings of their images, one after the other."""
    left = iter(ratings)
    return [question.answered([next(left) for _ in question.unrated()]) for question in questions]


def unusable(ratings: Sequence[float]) -> list[str]:
    """A line for each rating that is NaN."""
    count = sum(map(math.isnan, ratings))
    whole = ", nor on any other image of this call" if count == len(ratings) > 1 else ""
    return [f"no usable answer (NaN) on an image{whole}"] * count


def check_memory(reasons: Sequence[str], iteration: int) -> None:
    """Raise RatingMemoryError if `reasons`, a line for each image that did not fit into memory, has any."""
    if reasons:
        raise RatingMemoryError(
            f"iteration {iteration}: rating {len(reasons)} images ran out of memory "
            f"({reasons[-1]}), so training "
            "stops: without ratings the pseudo-labels would stay as they are. Lower "
            "train.rater.batch_size, set "
            "train.rater.quantization: 8bit (or 4bit), rate on another GPU (train.rating.async: "
            "{device: ...}), or "
            "lower datasets.train.batch_size_per_gpu; then resume with --auto_resume"
        )


def reason(error: BaseException) -> str:
    """What `error` says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


class FailureLog:
    """Counts images without a rating, and says so in the log the first, 10th, 100th, … time."""

    def __init__(self, rater: dict[str, Any]):
        self.count = 0
        self.name = str(rater.get("model") or rater.get("metric") or rater.get("type"))

    def add(self, reasons: Sequence[str]) -> None:
        """Count failures, and log where the count passes a power of ten."""
        before, self.count = self.count, self.count + len(reasons)
        if reasons and (before == 0 or int(math.log10(before)) < int(math.log10(self.count))):
            get_root_logger().warning(
                f"rating_failures {self.count}: the rater ({self.name}) gave no rating; "
                f"{reasons[-1]}. The stored "
                "pseudo-labels stay and training goes on. Try the rater on a photo with `wxr label "
                "rate`: is a server "
                "up, does its model answer with the rating words? One that never answers leaves "
                "all labels as they are"
            )
