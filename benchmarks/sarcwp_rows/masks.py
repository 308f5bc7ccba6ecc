"""Quality of masks: correlation with the true difference, spread, and the loss with a flat one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.context import context_inputs
from wxr_plugin.archs.sar import Masked, SoftMask
from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.clip_spatial import spatial_features
from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.losses.clip_srd_loss import feature_distance, soft_target

AVERAGE = "overall"
Scores = dict[str, float]


def of_network(checkpoint: Path, folder: Path, words: Sequence[str]) -> dict[str, Scores]:
    """Return means over the photos of each word, and over the words, of the masks' scores.

    `correlation` of their mean with |lq - gt|, `spread`, the standard deviation within a photo
    (mean over the stages), and `flat`, the PSNR in dB that is gained by masks that are replaced by
    their mean over the photo.
    """
    restorer = Restorer.from_checkpoint(checkpoint, device="cpu")
    net = restorer.net

    @torch.no_grad()
    def score(lq: Tensor, gt: Tensor) -> Scores:
        context = [restorer.guide.embed(lq)] if context_inputs(net) else []
        masked: Masked = net(lq, *context, masks=True)
        with flattened(net):
            flat = psnr(net(lq, *context), gt) - psnr(masked.restored, gt)
        spread = fmean(float(mask.std()) for mask in masked.masks)
        # The masks of all stages, (1, 1, H, W) each, have the size of the photo.
        mean = torch.stack(masked.masks).mean(0)
        return {
            "correlation": correlation(mean, (lq - gt).abs().mean(1)),
            "spread": spread,
            "flat": flat,
        }

    return _by_word(score, folder, words)


def of_clip(folder: Path, words: Sequence[str], srd: dict) -> dict[str, Scores]:
    """Return the correlation of the target of the masks: the mean of all layers' soft targets."""
    guide = load_clip(srd["clip"], "cpu")

    @torch.no_grad()
    def score(lq: Tensor, gt: Tensor) -> Scores:
        pairs = zip(*(spatial_features(guide, image, srd["layers"]) for image in (lq, gt)))
        maps = [soft_target(feature_distance(*pair))[0][:, None] for pair in pairs]
        # One map (1, 1, h, w) for each layer of CLIP, enlarged to the size of the photo.
        enlarged = [F.interpolate(layer, lq.shape[-2:], mode="bilinear") for layer in maps]
        mean = torch.stack(enlarged).mean(0)
        return {"correlation": correlation(mean, (lq - gt).abs().mean(1))}

    return _by_word(score, folder, words)


@torch.no_grad()
def set_scales(folder: Path, srd: dict, count: int) -> list[float]:
    """Return for each layer the 95 % quantile of CLIP's distances in `count` pairs of `folder`."""
    guide = load_clip(srd["clip"], "cpu")
    pairs = [pair for word in sorted(folder.iterdir()) for pair in _pairs(word)]
    step = max(1, len(pairs) // count)
    distances = [[] for _ in srd["layers"]]
    for pair in pairs[::step]:
        maps = zip(*(spatial_features(guide, image, srd["layers"]) for image in pair))
        for layer, features in zip(distances, maps):
            layer.append(feature_distance(*features).flatten())
    return [float(torch.cat(layer).quantile(0.95)) for layer in distances]


def correlation(first: Tensor, second: Tensor) -> float:
    """Return Pearson's correlation; 0 where an image is constant."""
    x, y = (image.flatten().double() - image.double().mean() for image in (first, second))
    return float((x @ y) / (x.norm() * y.norm()).clamp_min(1e-12))


def psnr(restored: Tensor, gt: Tensor) -> float:
    """Return the PSNR in dB, in RGB, of 8 bits, as validation has it."""
    levels, truth = ((255 * image.clamp(0, 1)).round().double() for image in (restored, gt))
    return float(10 * torch.log10(255**2 / (levels - truth).square().mean()))


@contextmanager
def flattened(net: nn.Module) -> Iterator[None]:
    """Replace every mask by its mean over the photo."""

    def flat(module, inputs, mask):
        return mask.mean(dim=(2, 3), keepdim=True).expand_as(mask)

    hooks = [
        module.register_forward_hook(flat)
        for module in net.modules()
        if isinstance(module, SoftMask)
    ]
    yield
    for hook in hooks:
        hook.remove()


def _by_word(
    score: Callable[[Tensor, Tensor], Scores], folder: Path, words: Sequence[str]
) -> dict[str, Scores]:
    """Return name of a score -> its mean over the photos of each word, and over the words."""
    rows = {}
    for word in words:
        rows[word] = [score(*pair) for pair in _pairs(folder / word)]
    means = {}
    for name in rows[words[0]][0]:
        by_word = {}
        for word in words:
            by_word[word] = fmean(row[name] for row in rows[word])
        means[name] = by_word | {AVERAGE: fmean(by_word.values())}
    return means


def _pairs(folder: Path) -> Iterator[tuple[Tensor, Tensor]]:
    for lq in list_images(folder / "LQ"):
        yield tuple(
            torch.from_numpy(read_image(file)).permute(2, 0, 1)[None].float() / 255
            for file in (lq, folder / "GT" / lq.name)
        )
