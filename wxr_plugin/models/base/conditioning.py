"""The frozen guide that steers network_g: its options, and its embeddings of each batch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, context_inputs
from wxr_plugin.errors import OptionError
from wxr_plugin.options.checks.guide import check_context_has_guide
from wxr_plugin.schema import Block, NotNegative
from wxr_plugin.utils.feature_cache import FeatureCache

if TYPE_CHECKING:
    from wxr_plugin.conditioning.guides import Guide


class GuideOptions(Block):
    """The frozen guide whose embeddings steer network_g."""

    model: str
    """For content and degradation a DA-CLIP: a published file, one that DaCLIPModel trained, or
    tiny (packaged). For image a CLIP: tiny, ARCHITECTURE:WEIGHTS of open_clip (RN50:openai),
    local-dir:FOLDER or hf-hub:ORG/NAME."""
    view: Literal["crop", "photo"] = "crop"
    """Input of the guide in training. crop: the crop that the network restores, as published.
    photo: the whole degraded photo, which the dataset returns with `guide_size`, so that training
    and testing agree. Validation and testing embed whole photos."""
    bf16: bool | None = None
    """Compute the embeddings in bfloat16; on CUDA alone when absent."""
    cache_mb: NotNegative = 0
    """Megabytes of embeddings to keep for photos that repeat unchanged; useful with view: photo."""

    def __post_init__(self) -> None:
        if self.cache_mb and self.view == "crop":
            raise ValueError(
                "guide.cache_mb: random crops never come again; take view: photo, or cache_mb out"
            )


class WxrTopOptions(Block):
    """Keys of WxrModel at the top level of the file."""

    guide: GuideOptions | None = None
    """Guide of a network with `context`; leave it out for any other network."""


class Conditioning:
    """Embeddings of a frozen guide, computed once for each tensor of images in a batch.

    Args:
        guide: makes the embeddings.
        options: the `guide` block.
        device: of the networks; it decides the number format unless `options.bf16` does.
    """

    def __init__(self, guide: "Guide", options: GuideOptions, device: torch.device):
        self.guide = guide
        self.options = options
        self.bf16 = device.type == "cuda" if options.bf16 is None else options.bf16
        self._cache = FeatureCache(options.cache_mb)
        self._embedded: list[tuple[Tensor, Context]] = []

    @classmethod
    def load(
        cls, net: nn.Module, opt: Mapping[str, Any], device: torch.device
    ) -> "Conditioning | None":
        """Load the guide of `net`, network_g without a wrapper; None if it takes no context.

        Raises:
            OptionError: a guide is missing, not used, or of another width.
        """
        inputs, block = context_inputs(net), opt.get("guide")
        check_context_has_guide(inputs, block, opt["network_g"]["type"])
        if not inputs:
            return None
        from wxr_plugin.conditioning.guides import load_guide

        options = GuideOptions.read(block)
        _check_view(options, opt)
        guide = load_guide(inputs, options.model, device)
        if guide.dim != net.context_dim:
            raise OptionError(
                f"guide.model {block['model']} gives embeddings of length {guide.dim}, network_g "
                f"takes {net.context_dim}: set network_g.context_dim: {guide.dim}, or take another "
                "guide"
            )
        return cls(guide, options, device)

    def forget(self) -> None:
        """Drop the embeddings of the last batch."""
        self._embedded.clear()

    def context(self, images: Tensor, batch: Mapping[str, Any] | None = None) -> Context:
        """Return the embeddings of `images` (N, 3, H, W) in [0, 1], the same ones until `forget`.

        `batch` is the batch whose `lq` the images are, if they are; where it has the whole photos
        (`lq_guide`, N of any size, and their names `lq_guide_key`), these are embedded instead.
        """
        # by identity: student, teacher and guide losses pass the same tensor
        for embedded, context in self._embedded:
            if embedded is images:
                return context
        context = self._embed(images, batch or {})
        self._embedded.append((images, context))
        return context

    def _embed(self, images: Tensor, batch: Mapping[str, Any]) -> Context:
        if "lq_guide" not in batch:
            return self.guide.embed(images, self.bf16)
        photos, keys = batch["lq_guide"], batch["lq_guide_key"]
        # without a name a photo cannot be recognised when it comes again
        if not self.options.cache_mb or not all(keys):
            return self.guide.embed(photos, self.bf16)
        # (N, embeddings, length)
        rows = self._cache.features(list(keys), lambda indices: self._stacked(photos[indices]))
        return Context(**dict(zip(self.guide.gives, rows.unbind(1), strict=True)))

    def _stacked(self, photos: Tensor) -> Tensor:
        """Return all embeddings of N photos as one tensor (N, embeddings, length)."""
        context = self.guide.embed(photos, self.bf16)
        return torch.stack([getattr(context, name) for name in self.guide.gives], dim=1)


def _check_view(options: GuideOptions, opt: Mapping[str, Any]) -> None:
    """Raise OptionError if only one of guide and training set is about whole photos."""
    if not opt["is_train"]:
        return
    has_photos = bool(opt["datasets"]["train"].get("guide_size"))
    if has_photos != (options.view == "photo"):
        raise OptionError(
            "guide.view: photo and datasets.train.guide_size go together: the dataset then returns "
            "the whole photo next to its crop. Set both (guide_size: 224), or neither"
        )
