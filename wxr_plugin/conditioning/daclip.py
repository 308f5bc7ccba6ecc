"""DA-CLIP: a frozen CLIP with a controller that separates content and degradation of a photo.

Luo et al., "Controlling Vision-Language Models for Multi-Task Image Restoration", ICLR 2024 (arXiv
2310.01018), and its follow-up for photos in the wild (arXiv 2404.09732). The authors forked
open_clip; this implementation uses open_clip itself.
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
    """A frozen CLIP of open_clip with a trainable controller; the state dict has published names.

    `visual` is the same module as `clip.visual`, as in the published files. Trainable are
    `visual_control` and `logit_scale`. Before training the controller adds zeros, so that both
    embeddings equal those of the plain CLIP.

    Args:
        clip: a CLIP of open_clip with a ViT or ModifiedResNet; it is frozen in place, not copied.
        tokenizer: its tokenizer; by default the tokenizer of OpenAI's CLIP.
        name: name for messages and the log.
    """

    def __init__(
        self, clip: nn.Module, tokenizer: "SimpleTokenizer | None" = None, name: str = "DA-CLIP"
    ):
        super().__init__()
        self.logit_scale = nn.Parameter(clip.logit_scale.detach().clone())
        self.clip = clip.requires_grad_(False)
        self.visual = clip.visual
        self.visual_control = make_controller(clip.visual)
        self.name = name
        self._tokenizer = tokenizer
        self.train(self.training)

    @property
    def dim(self) -> int:
        """Return the length of an embedding."""
        return self.visual.output_dim

    @property
    def image_size(self) -> int:
        """Return the side in pixels of the square that the towers take."""
        size = self.visual.image_size
        return size if isinstance(size, int) else size[0]

    def train(self, mode: bool = True) -> "DaCLIP":
        """Set the training mode of the controller; the frozen CLIP stays in eval mode."""
        super().train(mode)
        self.clip.eval()
        # Our choice: the statistics of a copied ResNet stay those of the pretrained CLIP.
        for module in self.visual_control.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def prepare(self, images: Tensor) -> Tensor:
        """Return images (N, 3, H, W) in [0, 1] as inputs (N, 3, S, S) of the towers, normalised.

        As published, the short side is resized to S (bicubic, antialiased) and the centre is cut
        out, while `ClipGuide.encode_image` distorts the whole image to a square. The authors also
        round to 8 bits before and after.
        """
        config = getattr(self.visual, "preprocess_cfg", None) or openai_preprocessing()
        mean = images.new_tensor(config["mean"]).view(1, 3, 1, 1)
        std = images.new_tensor(config["std"]).view(1, 3, 1, 1)
        clamped = images.clamp(0, 1)
        square = centre_square(clamped, self.image_size)
        return (square - mean) / std

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return token ids (K, context_length); texts that are too long are cut at a word."""
        if self._tokenizer is None:
            from open_clip.tokenizer import SimpleTokenizer

            self._tokenizer = SimpleTokenizer()
        length = getattr(self.clip, "text", self.clip).context_length
        fitting = shorten(texts, self._tokenizer, length, self.name)
        tokens = self._tokenizer(fitting, context_length=length)
        return tokens.to(self.logit_scale.device)

    def encode_image(
        self, images: Tensor, control: bool = False, normalize: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return content and degradation embeddings (N, dim) of prepared images (N, 3, S, S).

        Args:
            images: output of `prepare`.
            control: use the controller; without it the result is the plain CLIP's feature (N, dim).
            normalize: scale to unit length; restorers take the embeddings without.
        """
        if not control:
            return self.clip.encode_image(images, normalize=normalize)
        degradation, hidden = run_controller(self.visual_control, images)
        content = run_controlled(self.visual, images, hidden)
        if normalize:
            content = F.normalize(content, dim=-1)
            degradation = F.normalize(degradation, dim=-1)
        return content, degradation

    def encode_text(self, tokens: Tensor, normalize: bool = False) -> Tensor:
        """Return the frozen CLIP's features (K, dim) of token ids (K, context_length)."""
        return self.clip.encode_text(tokens, normalize=normalize)

    def forward(self, images: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Return the inputs of `DaClipLoss`: unit-length features and the logit scale.

        Args:
            images: prepared images (N, 3, S, S).
            tokens: (N, 2 * context_length), those of the caption followed by those of the
                degradation word.
        """
        content, degradation = self.encode_image(images, control=True, normalize=True)
        caption_tokens, word_tokens = tokens.chunk(2, dim=1)
        caption = self.encode_text(caption_tokens.contiguous(), normalize=True)
        word = self.encode_text(word_tokens.contiguous(), normalize=True)
        return {
            "image_features": content,
            "text_features": caption,
            "image_degra_features": degradation,
            "text_degra_features": word,
            "logit_scale": self.logit_scale.exp(),
        }


class DaClipGuide:
    """A frozen DA-CLIP.

    Images are float RGB (N, 3, H, W) in [0, 1] of any size; they are prepared by `DaCLIP.prepare`.

    Args:
        model: the DA-CLIP; it is frozen in place.
        name: name that `load_daclip` was called with.
        device: device of model and embeddings.
    """

    gives = STEERING
    """Embeddings that `embed` returns."""

    def __init__(self, model: DaCLIP, name: str, device: torch.device | str):
        self.name = name
        """Name that `load_daclip` was called with."""
        self.device = torch.device(device)
        self._model = model.float().eval().requires_grad_(False).to(self.device)
        self._words: dict[tuple[str, ...], Tensor] = {}
        quick_gelu = clip_activation.has_quick_gelu(model)
        self.sha256 = clip_activation.identity(hash_weights(model), quick_gelu)
        """Hash of weights and activation, independent of the file format and the machine."""

    @property
    def dim(self) -> int:
        """Return the length of both embeddings, the `context_dim` of a network."""
        return self._model.dim

    def embed(self, images: Tensor, bf16: bool = False) -> Context:
        """Return content and degradation (N, dim), float32, not normalised, without gradients.

        An autocast around the call has no effect. The results are ordinary tensors, which training
        may keep for its backward pass.

        Args:
            images: (N, 3, H, W) in [0, 1].
            bf16: compute under bfloat16 autocast, as the published code does.
        """
        model = self._model
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16)
        with torch.inference_mode(), autocast:
            # Prepared on the device of the images, which may be too large for the GPU.
            prepared = model.prepare(images.float())
            inputs = prepared.to(self.device)
            content, degradation = model.encode_image(inputs, control=True)
        # The clones are made outside inference mode: autograd can save them.
        content = content.float().clone()
        degradation = degradation.float().clone()
        return Context(content, degradation)

    def classify(self, images: Tensor, words: Sequence[str] | None = None) -> Tensor:
        """Return the probabilities (N, K) of K words for the degradation of each image.

        softmax(100 cos(degradation embedding, text embedding)) of the bare words, as published. The
        default words are the ten of DEGRADATIONS.
        """
        context = self.embed(images)
        return self.probabilities(context.degradation, words)

    def classify_without_controller(
        self, images: Tensor, words: Sequence[str] | None = None
    ) -> Tensor:
        """Return the probabilities of `classify` by the plain CLIP within this DA-CLIP.

        The paper compares the two: the same words, and the CLIP's own image embedding in place of
        the degradation.
        """
        with torch.inference_mode():
            prepared = self._model.prepare(images.float()).to(self.device)
            embedding = self._model.encode_image(prepared)
        return self.probabilities(embedding, words)

    def probabilities(self, degradation: Tensor, words: Sequence[str] | None = None) -> Tensor:
        """Return the probabilities of `classify` for degradation embeddings (N, dim) of `embed`."""
        if words is None:
            words = DEGRADATIONS
        texts = self.encode_words(words)  # (K, dim)
        images = F.normalize(degradation.float(), dim=-1)  # (N, dim)
        cosines = images @ texts.T  # (N, K)
        logits = CLASSIFIER_SCALE * cosines
        return logits.softmax(dim=1)

    def encode_words(self, words: Sequence[str]) -> Tensor:
        """Return unit-length text features (K, dim) of K words; they are cached."""
        if not words:
            raise DaClipError("no degradations to choose from: give one word or more")
        key = tuple(words)
        if key not in self._words:
            tokens = self._model.tokenize(key)
            with torch.no_grad():
                self._words[key] = self._model.encode_text(tokens, normalize=True)
        return self._words[key]


def openai_preprocessing() -> dict[str, tuple[float, ...]]:
    """Return the mean and standard deviation (RGB) of OpenAI's and LAION's CLIPs."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD}
