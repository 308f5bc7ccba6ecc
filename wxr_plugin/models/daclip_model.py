"""Training of DA-CLIP's controller (Luo et al., ICLR 2024, arXiv 2310.01018, section 3.2)."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from basicsr.utils.registry import DATASET_REGISTRY, MODEL_REGISTRY
from torch import Tensor, nn

from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.conditioning import daclip_network  # noqa: F401 (registers the network)
from wxr_plugin.data.caption_dataset import CaptionedDegradationDataset
from wxr_plugin.errors import OptionError
from wxr_plugin.models.base.daclip_validating import DaClipValidating, check_metrics
from wxr_plugin.models.base.val_metrics import validation_metrics
from wxr_plugin.models.wxr_model import WxrModel
from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.schema import Loss

NO_DECAY = ("bn", "ln", "bias", "logit_scale")
"""Parts of names of parameters that are not decayed, as in open_clip's training."""


class DaCLIPTrainOptions(WxrTrainOptions):
    """Keys of the `train` block, beside those of WxrModel."""

    contrastive_opt: Loss | None = None
    """The loss: a DaClipLoss or one that is called alike (features by name) and gives both terms; DaClipLoss with equal
    weights when absent."""


def decay_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float
) -> list[dict[str, Any]]:
    """Two parameter groups of those that learn: vectors, norms, biases and the scale without decay, and the others."""
    learning = [(name, weights) for name, weights in parameters if weights.requires_grad]
    free = [
        weights.dim() < 2 or any(part in name for part in NO_DECAY) for name, weights in learning
    ]
    return [
        {
            "params": [weights for (_, weights), is_free in zip(learning, free) if is_free],
            "weight_decay": 0.0,
        },
        {"params": [weights for (_, weights), is_free in zip(learning, free) if not is_free]}
        | {"weight_decay": weight_decay},
    ]


LARGEST_SCALE = math.log(100)


@MODEL_REGISTRY.register()
class DaCLIPModel(DaClipValidating, WxrModel):
    """InfoNCE of content embedding and caption plus InfoNCE of degradation embedding and word, over all ranks' batches.

    Batches hold lq, caption and degradation (CaptionedDegradationDataset). `network_g` is a DaCLIP:
    its CLIP is frozen, its controller and logit scale learn. models/net_g_<iter>.pth holds
    {'state_dict', 'network_g'}: published names, so that `load_daclip` and the authors' loader read
    it; with `ema_decay` it holds the average.

    Validation measures how many degradations are named rightly and how many captions are found
    (DaClipValidating).
    """

    TrainOptions = DaCLIPTrainOptions

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """Both terms, weighted."""
        net = self.get_bare_model(self.net_g)
        tokens = net.tokenize([*self._texts("caption"), *self._texts("degradation")])
        pairs = torch.cat(tokens.chunk(2), dim=1)
        with torch.autocast(
            self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        ):
            features = self.net_g(net.prepare(self.lq), pairs)
        content, degradation = self.cri_pix(features)
        return OrderedDict(l_content=content, l_degradation=degradation)

    @torch.no_grad()
    def after_step(self, current_iter: int) -> None:
        """Keep the logit scale in [1, 100], as CLIP does."""
        for net in (self.get_bare_model(self.net_g), getattr(self, "net_g_ema", None)):
            if net is not None:
                net.logit_scale.clamp_(0, LARGEST_SCALE)

    # what follows overrides the host

    def init_training_settings(self) -> None:
        """The host's; it builds and demands a pixel loss, which is the contrastive one here."""
        train = self.opt["train"]
        if known := [key for key in ("pixel_opt", "perceptual_opt") if train.get(key)]:
            raise OptionError(
                f"train.{known[0]} compares images, and DaCLIPModel makes none; use contrastive_opt"
            )
        train["pixel_opt"] = self.options.contrastive_opt or {"type": "DaClipLoss"}
        super().init_training_settings()

    def setup_optimizers(self) -> None:
        """One optimiser; weight decay for matrices alone."""
        options = dict(self.opt["train"]["optim_g"])
        kind, decay = options.pop("type"), options.pop("weight_decay", 0.0)
        groups = decay_groups(self.net_g.named_parameters(), decay)
        self.optimizer_g = self.get_optimizer(kind, groups, **options)
        self.optimizers.append(self.optimizer_g)

    def save_networks(self, label: int | str) -> None:
        """Write net_g_<label>.pth as the authors' files are laid out."""
        self.save_network(
            getattr(self, "net_g_ema", None) or self.net_g, "net_g", label, param_key="state_dict"
        )

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load any DA-CLIP checkpoint, whatever its container; strictly, but for the size of the position grid."""
        from wxr_plugin.conditioning.daclip_checkpoint import fit_weights

        if not strict:
            raise OptionError("path.strict_load_g: a DA-CLIP is loaded strictly; take it out")
        fit_weights(self.get_bare_model(net), load_weights(load_path), load_path)

    def _texts(self, key: str) -> list[str]:
        if key not in self.data:
            raise OptionError(
                f"DaCLIPModel needs the {key} of each photo, which this dataset does not give: use "
                "CaptionedDegradationDataset"
            )
        return list(self.data[key])

    def _check_options(self) -> None:
        super()._check_options()
        _check_train_set(self.opt["datasets"].get("train") or {})
        saves = (self.opt.get("val") or {}).get("save_img", False)
        for name, metrics in validation_metrics(self.opt).items():
            check_metrics(name, metrics, saves)


def _check_train_set(block: Mapping[str, Any]) -> None:
    """Raise OptionError for a known dataset without captions, before the first batch; third parties may have them."""
    kind = str(block.get("type", CaptionedDegradationDataset.__name__))
    found = DATASET_REGISTRY.get(kind)
    foreign = found.__module__.split(".")[0] not in ("basicsr", "wxr_plugin")
    if not (foreign or issubclass(found, CaptionedDegradationDataset)):
        raise OptionError(
            f"datasets.train ({kind}) has no captions, with which DaCLIPModel trains: use "
            f"CaptionedDegradationDataset"
        )
