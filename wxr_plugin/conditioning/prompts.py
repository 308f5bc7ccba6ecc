"""Weather prompts of WResVLM: four learnt text embeddings that sort photos into clear, rain, haze and snow.

The frozen text tower of CLIP reads vectors that stand for no word; these are trained by
cross-entropy on the cosines with image features, as in CLIP-LIT (Liang et al., ICCV 2023) but with
four classes. Sixteen vectors a prompt are CLIP-LIT's; the random start (standard deviation 0.02) is
that of CoOp (Zhou et al., IJCV 2022).
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
from wxr_plugin.utils import files

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide

TOKENS = 16
LOGIT_SCALE = 100.0
FORMAT = "wxr weather prompts 1"


class PromptError(WxrError):
    """Weather prompts that cannot be learnt or used."""


@dataclass(frozen=True)
class WeatherPrompts:
    """Prompts in the order of WEATHERS, and the CLIP that they were learnt with."""

    embeddings: Tensor
    """(4, 16, width), float32."""
    clip: str
    """Name of the CLIP, as `load_clip` takes it."""
    sha256: str
    """Hash of the CLIP's weights and activation, `ClipGuide.sha256`."""

    @torch.no_grad()
    def features(self, guide: "ClipGuide") -> Tensor:
        """Unit text features (4, D) on the guide's device; raises PromptError for another CLIP than theirs."""
        self.check(guide)
        return guide.encode_prompts(self.embeddings.to(guide.device))

    def check(self, guide: "ClipGuide", where: str = "these weather prompts") -> None:
        """Raise PromptError unless `guide` is the CLIP that they were learnt with."""
        if self.sha256 == guide.sha256:
            return
        fix = f"learn them again with `wxr prompts learn --clip {guide.name}`, or name the CLIP that they belong to"
        if self.sha256 == guide.weights_sha256:
            raise PromptError(
                f"{where} were learnt with the weights of CLIP '{guide.name}' but not with its "
                f"activation, QuickGELU, "
                f"which was not part of the file or of the CLIP then: {fix}"
            )
        raise PromptError(
            f"{where} were learnt with CLIP '{self.clip}' ({self.sha256[:12]}), but the CLIP in "
            f"use is "
            f"'{guide.name}' ({guide.sha256[:12]}): {fix}"
        )

    def save(self, path: str | Path) -> None:
        """Write a safetensors file that names the CLIP; an existing one is replaced in one step."""
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
        """Read what `save` wrote, and check that it belongs to `guide` if one is given.

        Raises:
            PromptError: no such file, not a file of weather prompts, or learnt with another CLIP.
        """
        if not Path(path).is_file():
            raise PromptError(
                f"no weather prompts at {path}: make them with `wxr prompts learn … -o {path}`"
            )
        prompts = cls(*_read(Path(path)))
        if guide is not None:
            prompts.check(guide, where=f"the weather prompts in {path}")
        return prompts


def _read(path: Path) -> tuple[Tensor, str, str]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") == FORMAT and metadata.get("weathers") == " ".join(WEATHERS):
                return file.get_tensor("embeddings"), metadata["clip"], metadata["sha256"]
    except safetensors.SafetensorError as error:
        raise PromptError(
            f"{path} is no readable safetensors file ({error}): learn the prompts again"
        ) from None
    raise PromptError(f"{path} holds something else than weather prompts for {', '.join(WEATHERS)}")


def fit(
    features: Tensor,
    classes: Tensor,
    guide: "ClipGuide",
    steps: Iterable[int],
    lr: float,
    batch: int = 256,
    seed: int = 0,
) -> WeatherPrompts:
    """Learn prompts from frozen unit image features (N, D) and what they show.

    `classes` are indices (N,) into WEATHERS, or soft targets (N, 4), each row a share of each
    weather that sum to 1. Cross-entropy with logits of 100 times the cosine and Adam, one step for
    each item of `steps`; a batch is drawn with all four classes equally likely, however many photos
    (or shares of photos) each has. Raises PromptError for a class that has none.
    """
    generator = torch.Generator().manual_seed(seed)
    features, targets = features.to(guide.device), soft_targets(classes).to(guide.device)
    likely = (targets / _masses(targets)).sum(1).cpu()
    embeddings = 0.02 * torch.randn(len(WEATHERS), TOKENS, guide.width, generator=generator)
    embeddings = embeddings.to(guide.device).requires_grad_()
    optimizer = torch.optim.Adam([embeddings], lr)
    for _ in steps:
        chosen = likely.multinomial(batch, replacement=True, generator=generator).to(guide.device)
        logits = weather_logits(features[chosen], guide.encode_prompts(embeddings), LOGIT_SCALE)
        optimizer.zero_grad()
        F.cross_entropy(logits, targets[chosen]).backward()
        optimizer.step()
    return WeatherPrompts(embeddings.detach().cpu(), guide.name, guide.sha256)


def soft_targets(classes: Tensor) -> Tensor:
    """Indices (N,) into WEATHERS as targets (N, 4) of ones and zeros; targets (N, 4) as they are."""
    return classes if classes.ndim == 2 else F.one_hot(classes, len(WEATHERS)).float()


def _masses(targets: Tensor) -> Tensor:
    masses = targets.sum(0)
    for weather, mass in zip(WEATHERS, masses.tolist()):
        if not mass > 0:
            raise PromptError(
                f"the class '{weather}' has no photos to learn from: give --{weather} a folder or "
                f".lmdb with readable "
                "photos, or --synthetic a folder of clear ones"
            )
    return masses


def weather_logits(image_features: Tensor, prompt_features: Tensor, logit_scale: float) -> Tensor:
    """Logits (N, 4) over WEATHERS: `logit_scale` times the cosines of unit features (N, D) and (4, D)."""
    return logit_scale * image_features @ prompt_features.T


def accuracy(
    prompts: WeatherPrompts, features: Tensor, classes: Tensor, guide: "ClipGuide"
) -> dict[str, float]:
    """Share of photos whose most likely weather is theirs, for each weather that occurs, and "all" (their mean)."""
    logits = weather_logits(features.to(guide.device), prompts.features(guide), LOGIT_SCALE)
    right = (logits.argmax(1).cpu() == classes).float()
    shares = {name: right[classes == index].mean().item() for index, name in enumerate(WEATHERS)}
    shares = {name: share for name, share in shares.items() if share == share}
    return {**shares, "all": sum(shares.values()) / len(shares)}
