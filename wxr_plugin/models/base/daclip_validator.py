"""Validation of a DA-CLIP: how often degradations are named and captions are retrieved."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from basicsr.metrics import calculate_metric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.errors import OptionError
from wxr_plugin.models.base.val_metrics import image_name
from wxr_plugin.models.base.val_table import Row
from wxr_plugin.models.base.validator import Job, Validator

TEXTS = 256
"""Number of texts that are encoded at once."""
METRICS = {
    "calculate_degradation_accuracy": "degradation",
    "calculate_caption_retrieval": "caption",
}
"""Type of a metric -> the texts that it compares with."""
COLUMNS = {"iter", "image", "degradation", "weather"}
"""Columns of the table that are not metrics."""


class DaClipValidator(Validator):
    """Compares the embeddings of photos with those of all texts of the set.

    Args:
        network: returns the DaCLIP that is validated.
        arguments: those of Validator; `restore` returns the content and the degradation embedding
            of a photo, (1, dim) each, of unit length.
    """

    def __init__(self, network: Callable[[], nn.Module], **arguments: Any):
        super().__init__(**arguments)
        self.network = network

    def run(self, loader: DataLoader, label: int | str, tb_logger: Any, save_img: bool) -> None:
        """Validate one set; raise OptionError for metrics of restored images."""
        options = self.opt.get("val") or {}
        metrics = loader.dataset.opt.get("metrics", options.get("metrics")) or {}
        check_metrics(loader.dataset.opt["name"], metrics, save_img)
        super().run(loader, label, tb_logger, save_img)

    def measure(self, job: Job, index: int, batch: Mapping[str, Any]) -> Row:
        """Return name, texts and embeddings of a photo; `complete` turns them into metrics."""
        embeddings = self.restore(batch)
        # on the CPU, since ranks exchange their rows
        content, degradation = (embedding[0].float().cpu() for embedding in embeddings)
        word = texts_of(batch, "degradation")[0]
        caption = texts_of(batch, "caption")[0]
        name = image_name(batch["lq_path"][0], job.set_options)
        return {
            "iter": job.label,
            "image": f"{word}/{name}",
            "degradation": word,
            "texts": {"degradation": (word, degradation), "caption": (caption, content)},
        }

    def complete(self, job: Job, rows: list[Row]) -> list[Row]:
        """Return rows with 1.0 or 0.0 for each metric, compared with the texts of the whole set."""
        columns = {}
        for name, block in job.metrics.items():
            columns[name] = self._hits(rows, METRICS[block["type"]], block)
        completed = []
        for number, row in enumerate(rows):
            hits = {name: values[number] for name, values in columns.items()}
            cells = {key: row[key] for key in ("iter", "image", "degradation")}
            completed.append(cells | hits)
        return completed

    def _hits(self, rows: Sequence[Row], kind: str, block: Mapping[str, Any]) -> list[float]:
        """Return the metric `block` of every photo, against all words or all captions."""
        own_texts = [row["texts"][kind][0] for row in rows]
        words = DEGRADATIONS if kind == "degradation" else ()
        # without duplicates, or a repeated caption would compete with itself
        texts = list(dict.fromkeys([*words, *own_texts]))
        embeddings = torch.stack([row["texts"][kind][1] for row in rows])
        # (photos, texts)
        cosines = (embeddings @ self._encoded(texts).T).numpy()
        places = {text: place for place, text in enumerate(texts)}
        hits = []
        for photo_cosines, text in zip(cosines, own_texts):
            data = {"img": photo_cosines, "img2": places[text]}
            hits.append(float(calculate_metric(data, dict(block))))
        return hits

    @torch.no_grad()
    def _encoded(self, texts: Sequence[str]) -> Tensor:
        """Return features of unit length (texts, dim) on the CPU."""
        net, features = self.network(), []
        for start in range(0, len(texts), TEXTS):
            tokens = net.tokenize(texts[start : start + TEXTS])
            features.append(net.encode_text(tokens, normalize=True).float().cpu())
        return torch.cat(features)


def texts_of(batch: Mapping[str, Any], key: str) -> list[str]:
    """Return the captions or degradations of a batch; raise OptionError if the dataset has none."""
    if key not in batch:
        raise OptionError(
            f"DaCLIPModel needs the {key} of each photo, which this dataset does not return: use "
            "CaptionedDegradationDataset"
        )
    return list(batch[key])


def check_metrics(dataset: str, metrics: Mapping[str, Mapping], save_img: bool) -> None:
    """Raise OptionError for metrics or pictures of restored images, and for names of columns."""
    if save_img:
        raise OptionError("val.save_img: DaCLIPModel restores no images; set it to false")
    for name in sorted(COLUMNS & metrics.keys()):
        raise OptionError(
            f"val.metrics.{name}: a column of the table has this name; rename the metric"
        )
    for name, block in metrics.items():
        if block.get("type") not in METRICS:
            raise OptionError(
                f"val.metrics.{name} (set {dataset}) measures restored images, and DaCLIPModel "
                f"makes none: use {' or '.join(METRICS)}"
            )
