"""Decisions of the gate for the page: images that became pseudo-labels, and images that did not."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from wxr_plugin.benchmark.report.viewer import image_uri
from wxr_plugin.data.crops import crop
from wxr_plugin.data.images.io import read_image
from wxr_plugin.data.real_photos import RealPhotos, split_key
from wxr_plugin.errors import WxrError
from wxr_plugin.options.nested import block
from wxr_plugin.pseudo_labelling.gate_examples import GateDecision, Image, gate_examples
from wxr_plugin.utils.html import escape
from wxr_plugin.wresvlm.report.measuring import spread, truth_of
from wxr_plugin.wresvlm.settings import Settings

SIDE = 256
"""Longest side of the images, in pixels."""
SHOWN = 12
"""Decisions of each outcome on the page, at most."""


class Part(NamedTuple):
    """An image of a decision on the page."""

    title: str
    image: np.ndarray
    caption: str


class Scene(NamedTuple):
    """A crop as it is known without the gate."""

    photo: np.ndarray
    truth: np.ndarray | None
    """None where the ground truth is not known."""


def section(settings: Settings, stages: Sequence[str]) -> str:
    """Return the decisions of the last round that kept any, as HTML; empty without any."""
    for stage in reversed(stages):
        if stage.startswith("round_"):
            decisions = gate_examples(settings.experiment(stage))
            if decisions:
                return _section(settings, stage, decisions)
    return ""


def _section(settings: Settings, stage: str, decisions: Sequence[GateDecision]) -> str:
    scenes = _Scenes(settings)
    title = settings.options.report.titles.get(stage, stage)
    parts = [_summary(title, decisions, scenes)]
    margin = block(settings.losses, "rating").get("margin", 0)
    if margin > 0:
        parts.append(f"<p>Accepted: rated more than {margin:g} above the label before.</p>")
    if margin < 0:
        parts.append(
            f"<p>Accepted: rated above the label before, or less than {-margin:g} below.</p>"
        )
    for accepted, name in ((True, "Accepted"), (False, "Refused")):
        of_outcome = [decision for decision in decisions if decision.accepted == accepted]
        of_outcome.sort(key=lambda decision: decision.iteration)
        cards = [_card(decision, scenes) for decision in spread(of_outcome, SHOWN)]
        grid = f'<ul class="decisions">{"".join(cards)}</ul>' if cards else "<p>None.</p>"
        parts.append(f"<h3>{name}</h3>\n{grid}")
    return "\n".join(parts)


class _Scenes:
    """Reader of the crops of decisions; a photo that changed or left has none."""

    def __init__(self, settings: Settings):
        photos = RealPhotos(settings.real)
        self.truth = truth_of(settings)
        # The crops of a photo mostly follow each other.
        self._photo = lru_cache(maxsize=8)(photos.read)
        self._read_truth = lru_cache(maxsize=8)(self.truth.read) if self.truth else None

    def scene(self, decision: GateDecision) -> Scene | None:
        """Return the crop of a decision; None without its photo."""
        key, box = split_key(decision.key)
        side = len(read_image(decision.offered.png))
        try:
            photo = self._photo(key)
        except (WxrError, KeyError):
            return None
        has_truth = self.truth is not None and key in self.truth
        truth = self._read_truth(key) if has_truth else None
        # Another photo of the same name is no ground truth.
        if truth is not None and truth.shape != photo.shape:
            truth = None
        return Scene(crop(photo, box, side), None if truth is None else crop(truth, box, side))


def _card(decision: GateDecision, scenes: _Scenes) -> str:
    """Return one decision: the crop, the teacher's image, and the label it was compared with."""
    scene = scenes.scene(decision)
    truth = scene.truth if scene else None
    outcome = "accepted" if decision.accepted else "refused"
    before = "label before" if decision.accepted else "label that it lost to"
    parts = []
    if scene:
        parts.append(Part("photo", scene.photo, ""))
    parts.append(_rated(outcome, decision.offered, truth))
    parts.append(_rated(before, decision.label, truth))
    if truth is not None:
        parts.append(Part("truth", truth, "not seen by the gate"))
    figures = "".join(_figure(part, decision.key) for part in parts)
    text = f"{decision.key}, iteration {decision.iteration}"
    if decision.rival is not None:
        text += f"; the student's image, to be beaten too: {decision.rival:.3f}"
    return f'<li><div class="row">{figures}</div><p class="note">{escape(text)}</p></li>'


def _rated(title: str, image: Image, truth: np.ndarray | None) -> Part:
    pixels = read_image(image.png)
    caption = f"{image.rating:.3f} of 5, {image.source}"
    if truth is not None:
        caption += f", {psnr(pixels, truth):.2f} dB"
    return Part(title, pixels, caption)


def _figure(part: Part, key: str) -> str:
    alt = escape(f"{part.title}, {key}")
    image = f'<img src="{image_uri(part.image, SIDE)}" alt="{alt}">'
    caption = f"<b>{escape(part.title)}</b><span>{escape(part.caption)}</span>"
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _summary(title: str, decisions: Sequence[GateDecision], scenes: _Scenes) -> str:
    accepted = sum(decision.accepted for decision in decisions)
    refused = len(decisions) - accepted
    text = (
        f"{title}: the last decision about each of {accepted} crops with an accepted and {refused} "
        "with a refused image of the teacher; those shown are spread evenly over the iterations. "
        "Ratings are of the rater in training."
    )
    agreed, compared = agreement(decisions, scenes)
    if compared:
        share = agreed / compared
        text += (
            f" Where the truth is known, the gate chose the image with the higher PSNR in {agreed} "
            f"of {compared} ({share:.0%}); a gate that sees nothing would be right in half."
        )
    return f"<p>{escape(text)}</p>"


def agreement(decisions: Sequence[GateDecision], scenes: _Scenes) -> tuple[int, int]:
    """Return in how many decisions the gate chose as PSNR does, and the number with a truth."""
    agreed = compared = 0
    for decision in decisions:
        scene = scenes.scene(decision)
        if scene is None or scene.truth is None:
            continue
        offered = psnr(read_image(decision.offered.png), scene.truth)
        label = psnr(read_image(decision.label.png), scene.truth)
        compared += 1
        agreed += (offered > label) == decision.accepted
    return agreed, compared


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the PSNR in dB of a uint8 image (H, W, 3) to the ground truth."""
    error = np.mean((image.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-10)))
