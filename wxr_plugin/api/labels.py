"""A pseudo-label of one image: restorers restore it, and a panel of raters votes (WResVLM)."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from wxr_plugin.api.images import eight_bit_rgb, read_given
from wxr_plugin.api.model import Model, load
from wxr_plugin.api.questions import Spec, block_of
from wxr_plugin.errors import WxrError

INPUT = "input"
"""Name of the candidate that is the image itself."""


class LabelChoice(NamedTuple):
    """The candidate that a panel chose."""

    image: Any
    """The best candidate, as the kind of image that was given."""
    source: str
    """Name of its restorer, or "input" for the image itself."""
    rating: float
    """Its mean rating, from 1 to 5."""
    ratings: dict[str, dict[str, float]]
    """Candidate -> rater -> rating; NaN where a rater gave no usable answer."""


def pseudo_label(
    image: Any,
    restorers: Sequence[str | PathLike | Model] = ("small",),
    raters: Sequence[Spec] = ("tiny",),
    *,
    device: str | None = None,
) -> LabelChoice:
    """Return the best of an image and its restorations by the vote of the raters.

    The lowest mean rank wins, as in `wxr label init` (docs/labels.md).

    Args:
        image: a path, an image of Pillow, an array or a tensor.
        restorers: names as for `load`, or loaded models.
        raters: as for `rate`; several are a panel.
        device: device of restorers and raters that are loaded here.

    Raises:
        WxrError: nothing to choose from, names that clash, no usable rating, or the errors of
            `load` and `rate`.
    """
    for name, value in (("restorers", restorers), ("raters", raters)):
        if isinstance(value, str | Mapping) or not value:
            raise WxrError(f"{name}: give a list of at least one")
    given = read_given(image)
    models = [_loaded(restorer, device) for restorer in restorers]
    names = [INPUT, *(model.name for model in models)]
    _refuse_twins("restorers", names)
    blocks = [block_of("rater", rater, device) for rater in raters]
    _refuse_twins("raters", [str(block) for block in blocks])
    candidates = [given.back(given.photo), *(model(image) for model in models)]
    ratings = _rated(candidates, blocks)
    return _chosen(candidates, names, ratings, [_label(rater) for rater in raters])


def _loaded(restorer: str | PathLike | Model, device: str | None) -> Model:
    return restorer if isinstance(restorer, Model) else load(restorer, device=device)


def _refuse_twins(argument: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise WxrError(f"{argument}: {name} is there twice; name each once")


def _rated(candidates: list[Any], blocks: list[dict[str, Any]]) -> np.ndarray:
    """Return the ratings (raters, candidates)."""
    from wxr_plugin.vlm.rater import build_rater

    images = [eight_bit_rgb(candidate) for candidate in candidates]
    rows = [build_rater(block).rate(images).rating.tolist() for block in blocks]
    return np.array(rows, float)


def _label(rater: Spec) -> str:
    if isinstance(rater, str):
        return rater
    return str(rater.get("model") or rater.get("metric") or rater.get("type") or "tiny")


def _chosen(
    candidates: list[Any], names: list[str], ratings: np.ndarray, raters: list[str]
) -> LabelChoice:
    from wxr_plugin.labels.panel import vote

    result = vote(ratings)
    if result.winner is None:
        raise WxrError("no rater gave a usable rating of any candidate; try another rater")
    table = {name: dict(zip(raters, column.tolist())) for name, column in zip(names, ratings.T)}
    winner = result.winner
    return LabelChoice(candidates[winner], names[winner], float(result.mean_rating[winner]), table)
