"""A network that is steered by a frozen guide gets its embeddings, computed once for each image."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, context_inputs
from wxr_plugin.errors import OptionError
from wxr_plugin.options.checks.guide import check_context_has_guide
from wxr_plugin.schema import Block, NotNegative
from wxr_plugin.utils.feature_cache import FeatureCache


class GuideOptions(Block):
    """The frozen guide whose embeddings steer network_g."""

    model: str
    """For content and degradation a DA-CLIP: a published file, one that DaCLIPModel trained, or tiny, the packaged one.
    For image a CLIP: tiny, ARCHITECTURE:WEIGHTS of open_clip (RN50:openai), local-dir:FOLDER or
    hf-hub:ORG/NAME."""
    view: Literal["crop", "photo"] = "crop"
    """What it sees in training. crop: what the network sees, as published. photo: all of the degraded photo, which the
    dataset gives with `guide_size`, so that training and testing agree. Validation and testing see
    whole photos."""
    bf16: bool | None = None
    """Compute the embeddings in bfloat16; on CUDA alone when absent."""
    cache_mb: NotNegative = 0
    """Megabytes of embeddings to keep, for photos that come again unchanged; of use with view: photo."""

    def __post_init__(self) -> None:
        if self.cache_mb and self.view == "crop":
            raise ValueError(
                "guide.cache_mb: random crops never come again; take view: photo, or cache_mb out"
            )


class ConditionedTop(Block):
    """Keys of the file itself."""

    guide: GuideOptions | None = None
    """What steers a network with `context`; to be left out for any other."""


class Conditioned:
    """The part of WxrModel that hands embeddings over.

    A network that takes none is called as ever.
    """

    TopOptions = ConditionedTop

    def load_guide(self) -> None:
        """Load the guide that `network_g` needs.

        Raises OptionError, before training starts, when one is missing, not used, or of another
        width.
        """
        self.guide, self._embedded = None, []
        net, block = self.get_bare_model(self.net_g), self.opt.get("guide")
        wanted = context_inputs(net)
        check_context_has_guide(wanted, block, self.opt["network_g"]["type"])
        if not wanted:
            return
        from wxr_plugin.conditioning.guides import load_guide

        self.guide_options = GuideOptions.read(block)
        self._check_view()
        self.guide = load_guide(wanted, self.guide_options.model, self.device)
        bf16 = self.guide_options.bf16
        self.guide_bf16 = self.device.type == "cuda" if bf16 is None else bf16
        self.embeddings = FeatureCache(self.guide_options.cache_mb)
        if self.guide.dim != net.context_dim:
            raise OptionError(
                f"guide.model {block['model']} gives embeddings of length {self.guide.dim}, "
                f"network_g takes "
                f"{net.context_dim}: set network_g.context_dim: {self.guide.dim}, or take another "
                f"guide"
            )

    def context(self, lq: Tensor) -> Context | None:
        """Embeddings of images (N, 3, H, W) in [0, 1], once a batch; None for a network that takes none."""
        if self.guide is None:
            return None
        known = next((context for image, context in self._embedded if image is lq), None)
        if known is None:
            known = self._embed(lq)
            self._embedded.append((lq, known))
        return known

    def forget_context(self) -> None:
        """Another batch comes."""
        self._embedded.clear()

    def apply(self, net: nn.Module, lq: Tensor, **how: Any) -> Any:
        """`net` on `lq`, with the context that it takes; `how` goes to its forward."""
        context = self.context(lq)
        return net(lq, **how) if context is None else net(lq, context, **how)

    def _check_view(self) -> None:
        whole = self.is_train and bool(self.opt["datasets"]["train"].get("guide_size"))
        if self.is_train and whole != (self.guide_options.view == "photo"):
            raise OptionError(
                "guide.view: photo and datasets.train.guide_size go together: the dataset then "
                "gives the whole photo "
                "besides its crop. Set both (guide_size: 224), or neither"
            )

    def _embed(self, lq: Tensor) -> Context:
        if lq is not self.lq or "lq_guide" not in self.data:
            return self.guide.embed(lq, self.guide_bf16)
        seen, keys = self.data["lq_guide"], self.data["lq_guide_key"]
        if not self.guide_options.cache_mb or not all(keys):
            return self.guide.embed(seen, self.guide_bf16)
        rows = self.embeddings.features(list(keys), lambda new: self._stacked(seen[new]))
        return Context(**dict(zip(self.guide.gives, rows.unbind(1), strict=True)))

    def _stacked(self, images: Tensor) -> Tensor:
        """What the guide gives of N images: (N, embeddings, length)."""
        found = self.guide.embed(images, self.guide_bf16)
        return torch.stack([getattr(found, name) for name in self.guide.gives], dim=1)
