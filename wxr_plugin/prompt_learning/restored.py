"""Restored photos as examples for the weather prompts: how clear they are is told by their rating."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
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
    """Unit image features (M, D) of restored photos and their crops, and soft targets (M, 4) over WEATHERS."""

    features: Tensor
    targets: Tensor
    used: int
    """How many pseudo-labels they come from."""
    unknown: int
    """Left out, because the key does not tell the weather."""
    unrated: int
    """Left out, because their rating is not in [1, 5]."""
    held_out: int
    """Left out, because their photo is held out."""


def encode_restored(
    labels: Iterable["PseudoLabel"],
    guide: "ClipGuide",
    held_out: Collection[str] = (),
    crops: int = 4,
    crop_size: int = 224,
    seed: int = 0,
) -> EncodedRestorations:
    """Image features and targets of pseudo-labels.

    Of a restoration with rating r, q = (r - 1) / 4 is the share of clear, and 1 - q that of the
    photo's own weather, the folder in its key (our choice: a restoration rated bad still shows its
    weather). A whole photo also gives `crops` random squares, as `prompt_photos.encode` draws them;
    a crop stands for itself. Photos with a key in `held_out` are left out, so that the held-out
    accuracy stays honest.
    """
    features, targets, left_out = [], [], {"unknown": 0, "unrated": 0, "held_out": 0}
    for label in labels:
        if reason := _reason(label, held_out):
            left_out[reason] += 1
            continue
        whole = split_key(label.key)[1] is None
        rng = generator(seed, label.key, "restored")
        views = encode_views(guide, to_tensor(label.image), crops if whole else 0, crop_size, rng)
        features.append(views)
        targets.append(restored_target(label.rating, weather_of(label.key)).expand(len(views), -1))
    return EncodedRestorations(_joined(features), _joined(targets), len(features), **left_out)


def restored_target(rating: float, weather: int) -> Tensor:
    """Soft target (4,) of a restoration rated in [1, 5] of a photo whose weather has that index in WEATHERS."""
    quality = (rating - 1) / 4
    clear, own = F.one_hot(torch.tensor([WEATHERS.index("clear"), weather]), len(WEATHERS)).float()
    return quality * clear + (1 - quality) * own


def _reason(label: "PseudoLabel", held_out: Collection[str]) -> str | None:
    """Why a pseudo-label is left out, if it is."""
    if weather_of(label.key) == UNKNOWN:
        return "unknown"
    if not 1 <= label.rating <= 5:
        return "unrated"
    return "held_out" if split_key(label.key)[0] in held_out else None


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if parts else torch.zeros(0, 0)
