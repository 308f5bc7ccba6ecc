"""Examples of the gate's decisions: images that became pseudo-labels, and images that did not.

A refused image is never seen again, so a report could not show it. With `train.rating.examples: N`
the first rank keeps the newest decision about each of the last N crops with an accepted image, and
of the last N with a refused one. A checkpoint writes them into one file of the experiment's folder.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from wxr_plugin.errors import WxrError
from wxr_plugin.labels.rows import encode_png
from wxr_plugin.pseudo_labelling.gate import Candidate, RatingRequest
from wxr_plugin.utils import files

FILE = "gate_examples.msgpack"


class Image(msgspec.Struct):
    """One image of a decision."""

    rating: float
    """In [1, 5]."""
    source: str
    """As in `gate.Candidate`."""
    png: bytes


class GateDecision(msgspec.Struct):
    """The comparison of an image of the teacher with the pseudo-label of its crop."""

    iteration: int
    key: str
    """Name of the crop, `photo@left,top,right,bottom`."""
    accepted: bool
    """Whether the teacher's image became the pseudo-label."""
    offered: Image
    """The teacher's image."""
    label: Image
    """The pseudo-label until then."""
    rival: float | None = None
    """Rating of the student's image, which had to be beaten as well (`gate: strict`)."""


class GateExamples:
    """Keeps the newest decisions of each outcome, at most `count`, and one of each crop.

    Decisions wait until `keep`, so that an update that is dropped leaves no trace.
    """

    def __init__(self, count: int):
        self.count = count
        self.decisions: dict[bool, dict[str, GateDecision]] = {True: {}, False: {}}
        self._waiting: list[GateDecision] = []

    def add(self, iteration: int, request: RatingRequest, accepted: bool) -> None:
        """Add the decision about a rated request; nothing if an image has no rating."""
        label, offered, rival = request.candidates
        is_compared = offered is not None and None not in (label.rating, offered.rating)
        if not (self.count and is_compared):
            return
        decision = GateDecision(
            iteration=iteration,
            key=request.key,
            accepted=accepted,
            offered=_image(offered),
            label=_image(label),
            rival=rival and rival.rating,
        )
        self._waiting.append(decision)

    def keep(self) -> None:
        """Keep the decisions that wait, and drop the oldest beyond the number."""
        for decision in self._waiting:
            self._take(decision)
        self._waiting = []

    def discard(self) -> None:
        """Drop the decisions that wait."""
        self._waiting = []

    def write(self, folder: Path) -> None:
        """Write the decisions that are kept into the experiment's folder; no file without any."""
        decisions = [*self.decisions[True].values(), *self.decisions[False].values()]
        if decisions:
            files.write_bytes(folder / FILE, msgspec.msgpack.encode(decisions))

    def resume(self, folder: Path, iteration: int) -> None:
        """Read the decisions up to `iteration` from the experiment's folder."""
        self.decisions = {True: {}, False: {}}
        for decision in gate_examples(folder):
            if self.count and decision.iteration <= iteration:
                self._take(decision)

    def _take(self, decision: GateDecision) -> None:
        kept = self.decisions[decision.accepted]
        # Taken out first, so that a dict's order is that of the iterations.
        kept.pop(decision.key, None)
        kept[decision.key] = decision
        while len(kept) > self.count:
            del kept[next(iter(kept))]


def gate_examples(folder: str | Path) -> Sequence[GateDecision]:
    """Return the decisions that the training in the experiment's folder kept; empty without any.

    Raises:
        WxrError: the file is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return []
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=list[GateDecision])
    except msgspec.DecodeError as error:
        raise WxrError(f"{path}: damaged ({error}); remove it") from error


def clear(folder: Path) -> None:
    """Remove the decisions of an earlier training in the same folder."""
    (folder / FILE).unlink(missing_ok=True)


def _image(candidate: Candidate) -> Image:
    return Image(candidate.rating, candidate.source, encode_png(candidate.image))
