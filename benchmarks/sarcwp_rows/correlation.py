"""How well a map of what is degraded follows the true difference between a photo and the clean one."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from wxr_plugin.archs.context import context_inputs
from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.clip_spatial import spatial_features
from wxr_plugin.data.image_io import list_images, read_image
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.losses.clip_srd_loss import feature_distance, soft_target

AVERAGE = "overall"


def correlations(checkpoint: Path, folder: Path, words: Sequence[str]) -> dict[str, float]:
    """Mean correlation of |lq - gt| with the mean of a network's masks, over the photos of each word, and overall."""
    restorer = Restorer.from_checkpoint(checkpoint, device="cpu")

    @torch.no_grad()
    def masks(lq: Tensor, gt: Tensor) -> Tensor:
        context = [restorer.guide.embed(lq)] if context_inputs(restorer.net) else []
        return torch.stack(restorer.net(lq, *context, masks=True).masks).mean(0)

    return _by_word(masks, folder, words)


def of_clip(folder: Path, words: Sequence[str], srd: dict) -> dict[str, float]:
    """The same of what the masks are trained towards: the mean of the soft targets of all layers."""
    guide = load_clip(srd["clip"], "cpu")

    @torch.no_grad()
    def targets(lq: Tensor, gt: Tensor) -> Tensor:
        pairs = zip(*(spatial_features(guide, image, srd["layers"]) for image in (lq, gt)))
        maps = [soft_target(feature_distance(*pair))[0][:, None] for pair in pairs]
        return torch.stack([F.interpolate(one, lq.shape[-2:], mode="bilinear") for one in maps]).mean(0)

    return _by_word(targets, folder, words)


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's; 0 where one of them is constant."""
    one, other = (image.flatten().double() - image.double().mean() for image in (one, other))
    return float((one @ other) / (one.norm() * other.norm()).clamp_min(1e-12))


def _by_word(estimate: Callable[[Tensor, Tensor], Tensor], folder: Path, words: Sequence[str]) -> dict[str, float]:
    found = {}
    for word in words:
        pairs = list(_pairs(folder / word))
        found[word] = fmean(correlation(estimate(*pair), (pair[0] - pair[1]).abs().mean(1)) for pair in pairs)
    return found | {AVERAGE: fmean(found[word] for word in words)}


def _pairs(folder: Path) -> Iterator[tuple[Tensor, Tensor]]:
    for lq in list_images(folder / "LQ"):
        yield tuple(
            torch.from_numpy(read_image(file)).permute(2, 0, 1)[None].float() / 255
            for file in (lq, folder / "GT" / lq.name)
        )
