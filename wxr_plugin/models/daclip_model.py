"""Training of DA-CLIP's controller (Luo et al., ICLR 2024, arXiv 2310.01018, section 3.2)."""

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from basicsr.metrics import calculate_metric
from basicsr.utils.dist_util import get_dist_info
from basicsr.utils.registry import DATASET_REGISTRY, MODEL_REGISTRY
from torch import Tensor, nn
from torch.utils.data import DataLoader

from wxr_plugin.checkpoint import load_weights
from wxr_plugin.conditioning import daclip_network  # noqa: F401 (registers the network)
from wxr_plugin.data.caption_dataset import CaptionedDegradationDataset
from wxr_plugin.data.degradation_words import DEGRADATIONS
from wxr_plugin.errors import OptionError
from wxr_plugin.models.daclip_options import DaCLIPTrainOptions, decay_groups
from wxr_plugin.models.val_table import Row, image_name, validation_metrics
from wxr_plugin.models.wxr_model import WxrModel

LARGEST_SCALE = math.log(100)
TEXTS = 256
"""Texts that are encoded at once in validation."""
METRICS = {"calculate_degradation_accuracy": "degradation", "calculate_caption_retrieval": "caption"}
"""Type of a metric -> the texts that it compares with."""


@MODEL_REGISTRY.register()
class DaCLIPModel(WxrModel):
    """InfoNCE of content embedding and caption plus InfoNCE of degradation embedding and word, over all ranks' batches.

    Batches hold lq, caption and degradation (CaptionedDegradationDataset). `network_g` is a DaCLIP: its CLIP is frozen,
    its controller and logit scale learn. models/net_g_<iter>.pth holds {'state_dict', 'network_g'}: published names, so
    that `load_daclip` and the authors' loader read it; with `ema_decay` it holds the average.

    Validation measures how many degradations are named rightly and how many captions are found (`METRICS`).
    """

    TrainOptions = DaCLIPTrainOptions

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """Both terms, weighted."""
        net = self.get_bare_model(self.net_g)
        tokens = net.tokenize([*self._texts("caption"), *self._texts("degradation")])
        pairs = torch.cat(tokens.chunk(2), dim=1)
        with torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None):
            features = self.net_g(net.prepare(self.lq), pairs)
        content, degradation = self.cri_pix(features)
        return OrderedDict(l_content=content, l_degradation=degradation)

    @torch.no_grad()
    def after_step(self, current_iter: int) -> None:
        """Keep the logit scale in [1, 100], as CLIP does."""
        for net in (self.get_bare_model(self.net_g), getattr(self, "net_g_ema", None)):
            if net is not None:
                net.logit_scale.clamp_(0, LARGEST_SCALE)

    def test(self) -> None:
        """`self.output` is the content and the degradation embedding of `self.lq`, (N, dim) each, of unit length."""
        net = self._tested()
        training = net.training
        net.eval()
        with torch.no_grad(), self._uncompiled():
            self.output = net.encode_image(net.prepare(self.lq), control=True, normalize=True)
        net.train(training)

    # what follows overrides the host

    def init_training_settings(self) -> None:
        """The host's; it builds and demands a pixel loss, which is the contrastive one here."""
        train = self.opt["train"]
        if known := [key for key in ("pixel_opt", "perceptual_opt") if train.get(key)]:
            raise OptionError(f"train.{known[0]} compares images, and DaCLIPModel makes none; use contrastive_opt")
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
        self.save_network(getattr(self, "net_g_ema", None) or self.net_g, "net_g", label, param_key="state_dict")

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load any DA-CLIP checkpoint, whatever its container; strictly, but for the size of the position grid."""
        from wxr_plugin.conditioning.daclip_checkpoint import fit_weights

        if not strict:
            raise OptionError("path.strict_load_g: a DA-CLIP is loaded strictly; take it out")
        fit_weights(self.get_bare_model(net), load_weights(load_path), load_path)

    def _shard(
        self, dataloader: DataLoader, label: int | str, metrics: dict, save_img: bool
    ) -> Iterator[tuple[int, Row]]:
        """(index, texts and embeddings) of each photo of this rank."""
        dataset = dataloader.dataset
        rank, world_size = get_dist_info()
        for index in self._tracked(range(rank, len(dataset), world_size), dataset.opt["name"]):
            self.feed_data(dataloader.collate_fn([dataset[index]]))
            self.test()
            word, caption = (self._texts(key)[0] for key in ("degradation", "caption"))
            name = f"{word}/{image_name(self.data['lq_path'][0], dataset.opt)}"
            content, degradation = (embedding[0].float().cpu() for embedding in self.output)
            texts = {"degradation": (word, degradation), "caption": (caption, content)}
            yield index, {"image": name, "degradation": word, "texts": texts}

    def _all_rows(self, dataloader: DataLoader, label: int | str, metrics: dict, save_img: bool) -> list[Row]:
        """A row a photo with 1.0 or 0.0 for each metric; the texts are those of the whole set, on every rank."""
        _check_metrics(dataloader.dataset.opt["name"], metrics, save_img)
        found = super()._all_rows(dataloader, label, metrics, save_img)
        hits = {name: self._hits(found, METRICS[block["type"]], block) for name, block in metrics.items()}
        return [
            {"iter": label, "image": row["image"], "degradation": row["degradation"]}
            | {name: values[number] for name, values in hits.items()}
            for number, row in enumerate(found)
        ]

    def _hits(self, found: Sequence[Row], kind: str, block: Mapping[str, Any]) -> list[float]:
        """The metric `block` of every photo, against all words or all captions."""
        own = [row["texts"][kind][0] for row in found]
        texts = list(dict.fromkeys([*(DEGRADATIONS if kind == "degradation" else ()), *own]))
        embeddings = torch.stack([row["texts"][kind][1] for row in found])
        cosines = (embeddings @ self._encoded(texts).T).numpy()
        places = {text: place for place, text in enumerate(texts)}
        return [
            float(calculate_metric({"img": row, "img2": places[text]}, dict(block))) for row, text in zip(cosines, own)
        ]

    @torch.no_grad()
    def _encoded(self, texts: Sequence[str]) -> Tensor:
        """Unit-length features (texts, dim) on the CPU."""
        net = self._tested()
        parts = (texts[start : start + TEXTS] for start in range(0, len(texts), TEXTS))
        return torch.cat([net.encode_text(net.tokenize(part), normalize=True).float().cpu() for part in parts])

    def _tested(self) -> nn.Module:
        return getattr(self, "net_g_ema", None) or self.get_bare_model(self.net_g)

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
            _check_metrics(name, metrics, saves)


def _check_train_set(block: Mapping[str, Any]) -> None:
    """Raise OptionError for a known dataset without captions, before the first batch; third parties may have them."""
    kind = str(block.get("type", CaptionedDegradationDataset.__name__))
    found = DATASET_REGISTRY.get(kind)
    foreign = found.__module__.split(".")[0] not in ("basicsr", "wxr_plugin")
    if not (foreign or issubclass(found, CaptionedDegradationDataset)):
        raise OptionError(
            f"datasets.train ({kind}) has no captions, with which DaCLIPModel trains: use CaptionedDegradationDataset"
        )


def _check_metrics(dataset: str, metrics: Mapping[str, Mapping], save_img: bool) -> None:
    """Raise OptionError for what a model without restored images cannot give."""
    if save_img:
        raise OptionError("val.save_img: DaCLIPModel restores no images; set it to false")
    if taken := sorted({"iter", "image", "degradation", "weather"} & metrics.keys()):
        raise OptionError(f"val.metrics.{taken[0]}: a column of the table has this name; call the metric otherwise")
    wrong = [name for name, block in metrics.items() if block.get("type") not in METRICS]
    if wrong:
        raise OptionError(
            f"val.metrics.{wrong[0]} (set {dataset}) measures restored images, and DaCLIPModel makes none: take "
            f"{' or '.join(METRICS)}"
        )
