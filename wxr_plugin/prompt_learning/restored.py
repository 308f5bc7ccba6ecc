"""Restored photos as training samples of weather prompts, with soft targets from their rating."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from wxr_plugin.data.choice import UNKNOWN, weather_of
from wxr_plugin.data.crops import to_tensor
from wxr_plugin.data.real_photos import split_key
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.prompt_learning.photos import encode_views, generator

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide
    from wxr_plugin.labels.store import PseudoLabel


@dataclass
class EncodedRestorations:
    """Image features and targets of restored photos and their crops, with counts of labels."""

    features: Tensor
    """(M, D), of unit length."""
    targets: Tensor
    """(M, 4), soft targets over WEATHERS."""
    used: int
    """Number of pseudo-labels that were encoded."""
    unknown: int
    """Number of pseudo-labels whose key does not name a weather."""
    unrated: int
    """Number of pseudo-labels whose rating is not in [1, 5]."""
    held_out: int
    """Number of pseudo-labels whose photo is held out."""


def encode_restored(
    labels: Iterable["PseudoLabel"],
    guide: "ClipGuide",
    held_out: Collection[str] = (),
    crops: int = 4,
    crop_size: int = 224,
    seed: int = 0,
) -> EncodedRestorations:
    """Return image features and soft targets of pseudo-labels (see `restored_target`).

    Args:
        labels: the pseudo-labels.
        guide: the CLIP.
        held_out: keys of photos that the accuracy is measured on; their pseudo-labels are skipped.
        crops: number of random squares of each whole photo, drawn as in `photos.encode`; the
            pseudo-label of a crop is encoded once.
        crop_size: side of a square in pixels.
        seed: seed of the squares.
    """
    features: list[Tensor] = []
    targets: list[Tensor] = []
    skipped = {"unknown": 0, "unrated": 0, "held_out": 0}
    for label in labels:
        if reason := _reason_to_skip(label, held_out):
            skipped[reason] += 1
            continue
        _, box = split_key(label.key)
        squares = crops if box is None else 0
        rng = generator(seed, label.key, "restored")
        views = encode_views(guide, to_tensor(label.image), squares, crop_size, rng)
        target = restored_target(label.rating, weather_of(label.key))
        features.append(views)  # (1 + squares, D)
        targets.append(target.expand(len(views), -1))
    return EncodedRestorations(_joined(features), _joined(targets), len(features), **skipped)


def restored_target(rating: float, weather: int) -> Tensor:
    """Return the soft target (4,) of a restoration with a rating in [1, 5].

    With q = (rating - 1) / 4 it is q for clear and 1 - q for the weather of the photo, given as an
    index into WEATHERS. Our choice: a restoration with a bad rating still shows its weather.
    """
    quality = (rating - 1) / 4
    target = torch.zeros(len(WEATHERS))
    # Added, since the photo itself may be clear.
    target[WEATHERS.index("clear")] += quality
    target[weather] += 1 - quality
    return target


def _reason_to_skip(label: "PseudoLabel", held_out: Collection[str]) -> str | None:
    if weather_of(label.key) == UNKNOWN:
        return "unknown"
    if not 1 <= label.rating <= 5:
        return "unrated"
    photo, _ = split_key(label.key)
    return "held_out" if photo in held_out else None


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if parts else torch.zeros(0, 0)
