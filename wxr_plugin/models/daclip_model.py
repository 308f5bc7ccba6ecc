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
from wxr_plugin.hub import fetched_file
from wxr_plugin.models.base.daclip_validator import DaClipValidator, check_metrics, texts_of
from wxr_plugin.models.base.val_metrics import validation_metrics
from wxr_plugin.models.wxr_model import WxrModel
from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.schema import Loss

NO_DECAY = ("bn", "ln", "bias", "logit_scale")
"""Parts of names of parameters without weight decay, as in open_clip's training."""
LARGEST_SCALE = math.log(100)
"""Bound of CLIP for the logarithm of the factor of its cosines."""


class DaCLIPTrainOptions(WxrTrainOptions):
    """Keys of the `train` block, in addition to those of WxrModel."""

    contrastive_opt: Loss | None = None
    """The loss: a DaClipLoss, or one with the same call (features, keyed by name) that returns both
    terms; DaClipLoss with equal weights when absent."""


def decay_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float
) -> list[dict[str, Any]]:
    """Return two parameter groups: vectors, norms, biases and scale without decay; and matrices.

    Frozen parameters are left out.
    """
    without_decay, with_decay = [], []
    for name, weights in parameters:
        if not weights.requires_grad:
            continue
        is_free = weights.dim() < 2 or any(part in name for part in NO_DECAY)
        group = without_decay if is_free else with_decay
        group.append(weights)
    return [
        {"params": without_decay, "weight_decay": 0.0},
        {"params": with_decay, "weight_decay": weight_decay},
    ]


@MODEL_REGISTRY.register()
class DaCLIPModel(WxrModel):
    """InfoNCE of content embedding and caption plus InfoNCE of degradation embedding and word.

    Both are over the batches of all ranks. Batches hold lq, caption and degradation
    (CaptionedDegradationDataset). `network_g` is a DaCLIP: its CLIP is frozen, its controller and
    logit scale learn. models/net_g_<iter>.pth holds {'state_dict', 'network_g'}: published names,
    so that `load_daclip` and the authors' loader read it; with `ema_decay` it holds the average.

    Validation measures how often degradations are named correctly and captions are retrieved
    (DaClipValidator).
    """

    TrainOptions = DaCLIPTrainOptions

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """Return both terms, weighted."""
        net = self.get_bare_model(self.net_g)
        captions, words = texts_of(self.data, "caption"), texts_of(self.data, "degradation")
        tokens = net.tokenize([*captions, *words])
        # one row per photo: the tokens of its caption, then those of its word
        pairs = torch.cat(tokens.chunk(2), dim=1)
        with self.autocast():
            features = self.net_g(net.prepare(self.lq), pairs)
        content, degradation = self.cri_pix(features)
        return OrderedDict(l_content=content, l_degradation=degradation)

    @torch.no_grad()
    def after_step(self, current_iter: int) -> None:
        """Keep the logit scale in [1, 100], as CLIP does."""
        for net in (self.get_bare_model(self.net_g), self.average):
            if net is not None:
                net.logit_scale.clamp_(0, LARGEST_SCALE)

    def make_validator(self) -> DaClipValidator:
        """Return the validator of a DA-CLIP."""
        return DaClipValidator(
            network=lambda: self.average or self.get_bare_model(self.net_g),
            restore=self._embedded,
            **self._validator_arguments(),
        )

    def init_training_settings(self) -> None:
        """Set up training as WxrModel does, with the contrastive loss for the pixel loss."""
        train = self.opt["train"]
        if image_losses := [key for key in ("pixel_opt", "perceptual_opt") if train.get(key)]:
            raise OptionError(
                f"train.{image_losses[0]} compares images, and DaCLIPModel makes none; use "
                "contrastive_opt"
            )
        # SRModel builds `pixel_opt` as cri_pix, and raises without it
        train["pixel_opt"] = self.options.contrastive_opt or {"type": "DaClipLoss"}
        super().init_training_settings()

    def setup_optimizers(self) -> None:
        """Set up one optimiser with weight decay for matrices alone."""
        options = dict(self.opt["train"]["optim_g"])
        kind, decay = options.pop("type"), options.pop("weight_decay", 0.0)
        groups = decay_groups(self.net_g.named_parameters(), decay)
        self.optimizer_g = self.get_optimizer(kind, groups, **options)
        self.optimizers.append(self.optimizer_g)

    def save_networks(self, label: int | str) -> None:
        """Write net_g_<label>.pth in the layout of the authors' files."""
        self.save_network(self.average or self.net_g, "net_g", label, param_key="state_dict")

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load any DA-CLIP checkpoint; strictly, except for the size of the position grid."""
        from wxr_plugin.conditioning.daclip_checkpoint import fit_weights

        if not strict:
            raise OptionError("path.strict_load_g: a DA-CLIP is loaded strictly; take it out")
        file = fetched_file(load_path)
        fit_weights(self.get_bare_model(net), load_weights(file), file)

    def test(self) -> None:
        """Set `output` to content and degradation embedding of `lq`, (N, dim), of unit length."""
        with self.evaluating() as net:
            self.output = net.encode_image(net.prepare(self.lq), control=True, normalize=True)

    def _embedded(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        self.feed_data(batch)
        self.test()
        return self.output

    def _check_options(self) -> None:
        super()._check_options()
        _check_train_set(self.opt["datasets"].get("train") or {})
        saves = (self.opt.get("val") or {}).get("save_img", False)
        for name, metrics in validation_metrics(self.opt).items():
            check_metrics(name, metrics, saves)


def _check_train_set(block: Mapping[str, Any]) -> None:
    """Raise OptionError for a dataset of BasicSR or of this package without captions."""
    name = str(block.get("type", CaptionedDegradationDataset.__name__))
    dataset = DATASET_REGISTRY.get(name)
    # datasets of other packages may return captions, too
    is_foreign = dataset.__module__.split(".")[0] not in ("basicsr", "wxr_plugin")
    if not (is_foreign or issubclass(dataset, CaptionedDegradationDataset)):
        raise OptionError(
            f"datasets.train ({name}) has no captions, with which DaCLIPModel trains: use "
            "CaptionedDegradationDataset"
        )
