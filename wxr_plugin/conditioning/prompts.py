"""Weather prompts of WResVLM: four learnt text prompts for clear, rain, haze and snow.

A prompt is a sequence of vectors that take the place of token embeddings in CLIP's frozen text
tower. They are trained by cross-entropy on the cosines with image features, as in CLIP-LIT (Liang
et al., ICCV 2023) but with four classes. Sixteen vectors per prompt are as in CLIP-LIT, the random
initialisation (standard deviation 0.02) as in CoOp (Zhou et al., IJCV 2022).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.errors import WxrError
from wxr_plugin.hub import fetched_file
from wxr_plugin.utils import files

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide

TOKENS = 16
"""Number of vectors of a prompt."""
LOGIT_SCALE = 100.0
"""Factor on cosines in the cross-entropy."""
FORMAT = "wxr weather prompts 1"
"""Identifier in the metadata of a file."""


class PromptError(WxrError):
    """Weather prompts that cannot be learnt or used."""


@dataclass(frozen=True)
class WeatherPrompts:
    """Prompts in the order of WEATHERS, with the CLIP that they were learnt with."""

    embeddings: Tensor
    """(4, 16, width), float32."""
    clip: str
    """Name of the CLIP for `load_clip`."""
    sha256: str
    """Hash of the CLIP's weights and activation, `ClipGuide.sha256`."""

    @torch.no_grad()
    def features(self, guide: "ClipGuide") -> Tensor:
        """Return the unit text features (4, D) on the device of the guide.

        Raises:
            PromptError: `guide` is not the CLIP that the prompts were learnt with.
        """
        self.check(guide)
        return guide.encode_prompts(self.embeddings.to(guide.device))

    def check(self, guide: "ClipGuide", where: str = "these weather prompts") -> None:
        """Raise PromptError unless `guide` is the CLIP that the prompts were learnt with."""
        if self.sha256 == guide.sha256:
            return
        fix = (
            f"learn them again with `wxr prompts learn --clip {guide.name}`, or name the CLIP that "
            "they belong to"
        )
        # Older files hold the hash of the weights only.
        if self.sha256 == guide.weights_sha256:
            raise PromptError(
                f"{where} were learnt with the weights of CLIP '{guide.name}' but not with its "
                "activation, QuickGELU, which was not part of the file or of the CLIP then: "
                f"{fix}"
            )
        raise PromptError(
            f"{where} were learnt with CLIP '{self.clip}' ({self.sha256[:12]}), but the CLIP in "
            f"use is '{guide.name}' ({guide.sha256[:12]}): {fix}"
        )

    def save(self, path: str | Path) -> None:
        """Write a safetensors file that names the CLIP; an existing file is replaced atomically."""
        metadata = {
            "format": FORMAT,
            "clip": self.clip,
            "sha256": self.sha256,
            "weathers": " ".join(WEATHERS),
        }
        tensors = {"embeddings": self.embeddings.detach().cpu().contiguous()}
        files.write_bytes(path, safetensors.torch.save(tensors, metadata))

    @classmethod
    def load(cls, path: str | Path, guide: "ClipGuide | None" = None) -> Self:
        """Read prompts that `save` wrote, and check them against `guide` if it is given.

        `path` may be a reference to the hub (hf://OWNER/NAME).

        Raises:
            PromptError: the file is missing, does not hold weather prompts, or was learnt with
                another CLIP.
        """
        path = fetched_file(path)
        if not path.is_file():
            raise PromptError(
                f"no weather prompts at {path}: make them with `wxr prompts learn … -o {path}`"
            )
        prompts = cls(*_read(path))
        if guide is not None:
            prompts.check(guide, where=f"the weather prompts in {path}")
        return prompts


def _read(path: Path) -> tuple[Tensor, str, str]:
    """Return the embeddings, the name and the hash of the CLIP."""
    weathers = " ".join(WEATHERS)
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") == FORMAT and metadata.get("weathers") == weathers:
                return file.get_tensor("embeddings"), metadata["clip"], metadata["sha256"]
    except safetensors.SafetensorError as error:
        raise PromptError(
            f"{path} is not a readable safetensors file ({error}): learn the prompts again"
        ) from None
    raise PromptError(f"{path} does not hold weather prompts for {', '.join(WEATHERS)}")


def fit(
    features: Tensor,
    classes: Tensor,
    guide: "ClipGuide",
    steps: Iterable[int],
    lr: float,
    batch: int = 256,
    seed: int = 0,
) -> WeatherPrompts:
    """Learn prompts from image features, by cross-entropy on 100 times the cosines, with Adam.

    The four classes are equally likely in a batch, regardless of their numbers of photos.

    Args:
        features: frozen image features (N, D) of unit length.
        classes: indices (N,) into WEATHERS, or soft targets (N, 4), whose rows sum to 1.
        guide: the CLIP of the features.
        steps: iterable with one item per step.
        lr: learning rate.
        batch: number of features in a step.
        seed: seed of the initial prompts and the batches.

    Raises:
        PromptError: a class has no photos.
    """
    generator = torch.Generator().manual_seed(seed)
    features = features.to(guide.device)
    targets = soft_targets(classes).to(guide.device)  # (N, 4)
    # Dividing by the total of its class gives each class the same total weight.
    weights = (targets / _class_totals(targets)).sum(1).cpu()
    embeddings = 0.02 * torch.randn(len(WEATHERS), TOKENS, guide.width, generator=generator)
    embeddings = embeddings.to(guide.device).requires_grad_()
    optimizer = torch.optim.Adam([embeddings], lr)
    for _ in steps:
        # On the CPU, so that a seed draws the same batches on every device.
        rows = weights.multinomial(batch, replacement=True, generator=generator).to(guide.device)
        prompts = guide.encode_prompts(embeddings)  # (4, D)
        logits = weather_logits(features[rows], prompts, LOGIT_SCALE)
        optimizer.zero_grad()
        F.cross_entropy(logits, targets[rows]).backward()
        optimizer.step()
    return WeatherPrompts(embeddings.detach().cpu(), guide.name, guide.sha256)


def soft_targets(classes: Tensor) -> Tensor:
    """Return indices (N,) into WEATHERS as one-hot targets (N, 4); soft targets are unchanged."""
    if classes.ndim == 2:
        return classes
    return F.one_hot(classes, len(WEATHERS)).float()


def _class_totals(targets: Tensor) -> Tensor:
    """Return the sums (4,) of targets (N, 4); raise PromptError if one of them is 0."""
    totals = targets.sum(0)
    for weather, total in zip(WEATHERS, totals.tolist()):
        if not total > 0:
            raise PromptError(
                f"the class '{weather}' has no photos to learn from: give --{weather} a folder or "
                ".lmdb with readable photos, or --synthetic a folder of clear ones"
            )
    return totals


def weather_logits(image_features: Tensor, prompt_features: Tensor, logit_scale: float) -> Tensor:
    """Return logits (N, 4): `logit_scale` times the cosines of unit features (N, D) and (4, D)."""
    scaled = logit_scale * image_features
    return scaled @ prompt_features.T


def accuracy(
    prompts: WeatherPrompts,
    features: Tensor,
    classes: Tensor,
    guide: "ClipGuide",
) -> dict[str, float]:
    """Return weather -> share of its photos that are classified correctly, and "all", the mean.

    Weathers that do not occur in `classes` (N,) are left out.
    """
    logits = weather_logits(features.to(guide.device), prompts.features(guide), LOGIT_SCALE)
    correct = (logits.argmax(1).cpu() == classes).float()
    shares = {}
    for index, weather in enumerate(WEATHERS):
        of_class = correct[classes == index]
        if len(of_class):
            shares[weather] = of_class.mean().item()
    return {**shares, "all": sum(shares.values()) / len(shares)}
