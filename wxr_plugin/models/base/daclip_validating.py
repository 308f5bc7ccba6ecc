"""Validation of a DA-CLIP: how many degradations are named rightly, and how many captions are found."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from basicsr.metrics import calculate_metric
from basicsr.utils.dist_util import get_dist_info
from torch import Tensor, nn
from torch.utils.data import DataLoader

from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.errors import OptionError
from wxr_plugin.models.base.val_metrics import image_name
from wxr_plugin.models.base.val_table import Row
from wxr_plugin.models.base.validating import Validating

TEXTS = 256
"""Texts that are encoded at once in validation."""
METRICS = {
    "calculate_degradation_accuracy": "degradation",
    "calculate_caption_retrieval": "caption",
}
"""Type of a metric -> the texts that it compares with."""


class DaClipValidating(Validating):
    """The part of DaCLIPModel that validates.

    A row of a rank holds the embeddings; the whole set has the texts.
    """

    def test(self) -> None:
        """`self.output` is the content and the degradation embedding of `self.lq`, (N, dim) each, of unit length."""
        net = self._tested()
        training = net.training
        net.eval()
        with torch.no_grad(), self._uncompiled():
            self.output = net.encode_image(net.prepare(self.lq), control=True, normalize=True)
        net.train(training)

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

    def _all_rows(
        self, dataloader: DataLoader, label: int | str, metrics: dict, save_img: bool
    ) -> list[Row]:
        """A row a photo with 1.0 or 0.0 for each metric; the texts are those of the whole set, on every rank."""
        check_metrics(dataloader.dataset.opt["name"], metrics, save_img)
        found = super()._all_rows(dataloader, label, metrics, save_img)
        hits = {
            name: self._hits(found, METRICS[block["type"]], block)
            for name, block in metrics.items()
        }
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
            float(calculate_metric({"img": row, "img2": places[text]}, dict(block)))
            for row, text in zip(cosines, own)
        ]

    @torch.no_grad()
    def _encoded(self, texts: Sequence[str]) -> Tensor:
        """Unit-length features (texts, dim) on the CPU."""
        net = self._tested()
        parts = (texts[start : start + TEXTS] for start in range(0, len(texts), TEXTS))
        return torch.cat(
            [net.encode_text(net.tokenize(part), normalize=True).float().cpu() for part in parts]
        )

    def _tested(self) -> nn.Module:
        return getattr(self, "net_g_ema", None) or self.get_bare_model(self.net_g)


def check_metrics(dataset: str, metrics: Mapping[str, Mapping], save_img: bool) -> None:
    """Raise OptionError for what a model without restored images cannot give."""
    if save_img:
        raise OptionError("val.save_img: DaCLIPModel restores no images; set it to false")
    if taken := sorted({"iter", "image", "degradation", "weather"} & metrics.keys()):
        raise OptionError(
            f"val.metrics.{taken[0]}: a column of the table has this name; call the metric "
            f"otherwise"
        )
    wrong = [name for name, block in metrics.items() if block.get("type") not in METRICS]
    if wrong:
        raise OptionError(
            f"val.metrics.{wrong[0]} (set {dataset}) measures restored images, and DaCLIPModel "
            f"makes none: take "
            f"{' or '.join(METRICS)}"
        )
