"""DA-CLIP: a frozen CLIP with a controller that tells a photo's content from what degrades it.

Luo et al., "Controlling Vision-Language Models for Multi-Task Image Restoration", ICLR 2024 (arXiv
2310.01018), and its follow-up for photos in the wild (arXiv 2404.09732). The authors have a fork of
open_clip; here it is open_clip itself.
"""

from collections.abc import Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.context import STEERING, Context
from wxr_plugin.conditioning import clip_activation
from wxr_plugin.conditioning.clip import centre_square, hash_weights
from wxr_plugin.conditioning.daclip_towers import (
    DaClipError,
    make_controller,
    run_controlled,
    run_controller,
)
from wxr_plugin.conditioning.long_texts import shorten
from wxr_plugin.data.degradations.words import DEGRADATIONS

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

__all__ = ["DaCLIP", "DaClipError", "DaClipGuide"]

TINY = Path(str(package_files("wxr_plugin"))) / "assets" / "tiny_daclip" / "tiny_daclip.safetensors"
CLASSIFIER_SCALE = 100.0
"""Factor on the cosines of the classifier, as published."""


class DaCLIP(nn.Module):
    """A CLIP of open_clip that stays frozen, and its controller; the state dict has the published names.

    `visual` is `clip.visual` again, as in the published files. Trainable are `visual_control` and
    `logit_scale`. Before training the controller adds nothing: both embeddings are plain CLIP's.

    Args:
        clip: a CLIP of open_clip with a ViT or ModifiedResNet; taken over and frozen, not copied.
        tokenizer: its tokenizer; by default the one of OpenAI's CLIP.
        name: what messages and the log call it.
    """

    def __init__(
        self, clip: nn.Module, tokenizer: "SimpleTokenizer | None" = None, name: str = "DA-CLIP"
    ):
        super().__init__()
        self.logit_scale = nn.Parameter(clip.logit_scale.detach().clone())
        self.clip = clip.requires_grad_(False)
        self.visual = clip.visual
        self.visual_control = make_controller(clip.visual)
        self.name, self._tokenizer = name, tokenizer
        self.train(self.training)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.visual.output_dim

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that the towers see."""
        size = self.visual.image_size
        return size if isinstance(size, int) else size[0]

    def train(self, mode: bool = True) -> "DaCLIP":
        """As nn.Module's; what is frozen stays in eval mode, and so do batch norms of a controller (our choice)."""
        super().train(mode)
        self.clip.eval()
        for module in self.visual_control.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def prepare(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [0, 1] as the towers take them: (N, 3, S, S), normalised.

        As published, the short side is resized to S (bicubic, antialiased) and the centre is cut
        out; `ClipGuide.encode_image` squeezes all of it into the square. The authors round to 8
        bits before and after.
        """
        config = getattr(self.visual, "preprocess_cfg", None) or openai_preprocessing()
        mean, std = (images.new_tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
        return (centre_square(images.clamp(0, 1), self.image_size) - mean) / std

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids (K, context_length); texts that do not fit are cut at a word, and the log says so once."""
        if self._tokenizer is None:
            from open_clip.tokenizer import SimpleTokenizer

            self._tokenizer = SimpleTokenizer()
        length = getattr(self.clip, "text", self.clip).context_length
        fitting = shorten(texts, self._tokenizer, length, self.name)
        return self._tokenizer(fitting, context_length=length).to(self.logit_scale.device)

    def encode_image(
        self, images: Tensor, control: bool = False, normalize: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Content and degradation embeddings (N, dim) of prepared images; without `control` plain CLIP's feature.

        `normalize` divides by the L2 norm; restorers take the embeddings without.
        """
        if not control:
            return self.clip.encode_image(images, normalize=normalize)
        degradation, hidden = run_controller(self.visual_control, images)
        content = run_controlled(self.visual, images, hidden)
        return (
            (F.normalize(content, dim=-1), F.normalize(degradation, dim=-1))
            if normalize
            else (content, degradation)
        )

    def encode_text(self, tokens: Tensor, normalize: bool = False) -> Tensor:
        """Plain CLIP's features (K, dim) of token ids (K, context_length)."""
        return self.clip.encode_text(tokens, normalize=normalize)

    def forward(self, images: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """What `DaClipLoss` takes: unit-length features of prepared images and of their texts, and the logit scale.

        `tokens` (N, 2 x context_length) are the caption's followed by the degradation word's.
        """
        content, degradation = self.encode_image(images, control=True, normalize=True)
        caption, word = (
            self.encode_text(part.contiguous(), normalize=True) for part in tokens.chunk(2, dim=1)
        )
        return {
            "image_features": content,
            "text_features": caption,
            "image_degra_features": degradation,
            "text_degra_features": word,
            "logit_scale": self.logit_scale.exp(),
        }


class DaClipGuide:
    """A frozen DA-CLIP.

    Images are float RGB (N, 3, H, W) in [0, 1] of any size, prepared as `DaCLIP.prepare` says.
    """

    gives = STEERING
    """The embeddings of `embed`."""

    def __init__(self, model: DaCLIP, name: str, device: torch.device | str):
        self.name = name
        """What `load_daclip` was called with."""
        self.device = torch.device(device)
        self._model = model.float().eval().requires_grad_(False).to(self.device)
        self._words: dict[tuple[str, ...], Tensor] = {}
        self.sha256 = clip_activation.identity(
            hash_weights(model), clip_activation.has_quick_gelu(model)
        )
        """Hash of weights and activation: the same on every machine, whatever file they came from."""

    @property
    def dim(self) -> int:
        """Length of both embeddings; a network's `context_dim`."""
        return self._model.dim

    def embed(self, images: Tensor, bf16: bool = False) -> Context:
        """Content and degradation (N, dim), float32 and not normalised, without gradients.

        `bf16` computes under bfloat16 autocast; the published code uses autocast too. An autocast
        around the call has no effect. The result is an ordinary tensor, which training may keep for
        its backward pass.
        """
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16),
        ):
            small = self._model.prepare(images.float()).to(
                self.device
            )  # prepared where they lie: they may be large
            found = self._model.encode_image(small, control=True)
        return Context(*(embedding.float().clone() for embedding in found))

    def classify(self, images: Tensor, words: Sequence[str] | None = None) -> Tensor:
        """Probabilities (N, words) that each word is what degrades an image; the ten of DEGRADATIONS by default.

        softmax(100 cos(degradation embedding, text embedding)) of the bare words, as published.
        """
        return self.probabilities(self.embed(images).degradation, words)

    def probabilities(self, degradation: Tensor, words: Sequence[str] | None = None) -> Tensor:
        """As `classify`, from degradation embeddings (N, dim) that `embed` gave."""
        features = self.encode_words(DEGRADATIONS if words is None else words)
        return (CLASSIFIER_SCALE * F.normalize(degradation.float(), dim=-1) @ features.T).softmax(
            dim=1
        )

    def encode_words(self, words: Sequence[str]) -> Tensor:
        """Unit-length text features (words, dim), kept for the next call."""
        if not words:
            raise DaClipError("no degradations to choose from: give one word or more")
        key = tuple(words)
        if key not in self._words:
            with torch.no_grad():
                self._words[key] = self._model.encode_text(
                    self._model.tokenize(key), normalize=True
                )
        return self._words[key]


def openai_preprocessing() -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation (RGB) with which OpenAI's and LAION's CLIPs take images."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD}
