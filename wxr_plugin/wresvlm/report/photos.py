"""Photos of the report for the viewer: restorations, pseudo-labels and texts of each."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wxr_plugin.benchmark.report.viewer import image_uri
from wxr_plugin.data.images.io import read_image
from wxr_plugin.data.real_photos import RealPhotos, split_key
from wxr_plugin.labels.store import LabelStore, PseudoLabel
from wxr_plugin.wresvlm.options import REAL
from wxr_plugin.wresvlm.report import scores
from wxr_plugin.wresvlm.report.measuring import INPUT, TRUTH, Row, spread, truth_of
from wxr_plugin.wresvlm.settings import Settings

LABELS = "pseudo-labels"
SIDE = 1024
"""Longest side of the images on the page, in pixels."""
DIMMED = 0.3
"""Brightness of a photo around the pseudo-labels of its crops."""

Labels = dict[str, PseudoLabel]
"""Key of a photo or crop -> its pseudo-label."""
Texts = dict[str, tuple[str, str]]
"""Key of a photo or crop -> its description and the rewrite."""
Part = tuple[str, list[tuple[str, str]]]
"""Title, and pairs of name and text."""


class Answers(NamedTuple):
    """The newest pseudo-labels and texts of a run, by photo."""

    labels: dict[str, Labels]
    texts: dict[str, Texts]


def viewer_data(settings: Settings, stages: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Return the data of the viewer: up to `report.shown` photos, with one set for each weather.

    The sources are the photo, its restoration after each step, its ground truth where it is known,
    and its pseudo-labels where there are any; the last restoration is on the right.
    """
    options = settings.options.report
    shown = spread(rows, options.shown)
    answers = read_answers(settings, stages, [row["photo"] for row in shown])
    # Every row has the same steps: a photo that a network failed on has no row.
    files = shown[0]["files"] if shown else {}
    steps = [INPUT, *files]
    truth = truth_of(settings)
    sources = [*steps]
    if truth:
        sources.append(TRUTH)
    if answers.labels:
        sources.append(LABELS)
    names = scores.measures(rows)
    photos = RealPhotos(settings.real)
    sets = []
    for weather in (*REAL, "clear", "unknown"):
        images = []
        for row in shown:
            if row["weather"] == weather:
                further = _further(row["photo"], photos, truth, answers)
                texts = _texts(row["photo"], answers, options.texts)
                image = _image(photos, row, sources, names, further, texts)
                images.append(image)
        if images:
            # The page carries every image, so there are no addresses.
            base = [""] * len(sources)
            sets.append({"title": weather, "base": base, "images": images})
    metrics = []
    for name in names:
        end = scores.better(options.metrics, name)
        metrics.append((name, end, scores.DIGITS))
    return {
        "sources": [(source, options.titles.get(source, source)) for source in sources],
        "right": len(steps) - 1,
        "metrics": metrics,
        "sets": sets,
    }


def read_answers(settings: Settings, stages: Sequence[str], photos: Collection[str]) -> Answers:
    """Read the pseudo-labels and texts of `photos` from the last of `stages` that has them."""
    labels: dict[str, Labels] = {}
    texts: dict[str, Texts] = {}
    stage = label_stage(settings, stages)
    if stage:
        labels = _labels_of(settings.labels(stage), photos)
    stage = text_stage(stages)
    if stage:
        texts = _texts_of(settings.labels(stage), photos)
    return Answers(labels, texts)


def label_stage(settings: Settings, stages: Sequence[str]) -> str | None:
    """Return the last stage that stored pseudo-labels; None without any."""
    if not settings.uses_labels:
        return None
    return _last_of(stages, "init", "panel", "round")


def text_stage(stages: Sequence[str]) -> str | None:
    """Return the last stage that rewrote descriptions; None without any."""
    return _last_of(stages, "rewrite")


def _last_of(stages: Sequence[str], *kinds: str) -> str | None:
    """Return the last stage of these kinds; a stage is called after its kind, or kind_number."""
    for name in reversed(stages):
        kind = name.split("_")[0]
        if kind in kinds:
            return name
    return None


def label_picture(photo: np.ndarray, labels: Labels) -> np.ndarray:
    """Return the pseudo-labels of a photo (H, W, 3), uint8 RGB, as one image of its size.

    Those of crops lie at their places, over that of the whole photo or, without one, over the
    darkened photo.
    """
    picture = (photo * DIMMED).astype(np.uint8)
    for key in sorted(labels, key=_place):
        image = labels[key].image
        _, box = split_key(key)
        if box is None:
            picture = image.copy()
            continue
        # The crop of a small photo is padded at its right and bottom; that part is left out.
        rows = slice(box.top, box.bottom)
        columns = slice(box.left, box.right)
        height, width = picture[rows, columns].shape[:2]
        picture[rows, columns] = image[:height, :width]
    return picture


def label_texts(labels: Labels, texts: Texts, most: int) -> list[Part]:
    """Return the ratings and texts of up to `most` parts of a photo: the whole, or crops."""
    keys = sorted({*labels, *texts}, key=_place)
    parts = []
    for key in keys[:most]:
        entries = []
        label = labels.get(key)
        if label:
            text = f"rating {label.rating:.2f} of 5, from {label.source}"
            entries.append(("Pseudo-label", text))
        if key in texts:
            description, rewrite = texts[key]
            entries.append(("Description", description))
            entries.append(("Rewrite", rewrite))
        _, box = split_key(key)
        title = f"Crop {box}" if box else "Whole photo"
        parts.append((title, entries))
    return parts


def _image(
    photos: RealPhotos,
    row: Row,
    sources: Sequence[str],
    names: Sequence[str],
    further: Mapping[str, np.ndarray],
    texts: list[Part],
) -> dict[str, Any]:
    """Return a photo as the viewer's script takes it: short keys, lists in the order of sources.

    `further` are its images other than the photo and its restorations.
    """
    key = row["photo"]
    photo = photos.read(key)
    images = {INPUT: photo, **further}
    for step, file in row["files"].items():
        images[step] = read_image(file)
    data, figures = [], []
    for source in sources:
        # Not every photo has pseudo-labels, and no pseudo-label has figures.
        data.append(image_uri(images[source], SIDE) if source in images else None)
        values = row["values"].get(source, {})
        figures.append(_figures(values, names))
    height, width = photo.shape[:2]
    return {
        "n": key,
        "s": [width, height],
        "f": [None] * len(sources),
        "d": data,
        "v": figures,
        "t": texts,
    }


def _further(
    key: str,
    photos: RealPhotos,
    truth: RealPhotos | None,
    answers: Answers,
) -> dict[str, np.ndarray]:
    """Return the ground truth and the pseudo-labels of a photo, as far as there are any."""
    images = {}
    photo = photos.read(key)
    if truth and key in truth:
        images[TRUTH] = truth.read(key)
    labels = answers.labels.get(key)
    if labels:
        images[LABELS] = label_picture(photo, labels)
    return images


def _texts(key: str, answers: Answers, most: int) -> list[Part]:
    labels = answers.labels.get(key, {})
    texts = answers.texts.get(key, {})
    return label_texts(labels, texts, most)


def _figures(values: Mapping[str, float], names: Sequence[str]) -> list[float | None]:
    figures: list[float | None] = []
    for name in names:
        value = values.get(name)
        figures.append(None if value is None else round(value, scores.DIGITS))
    return figures


def _labels_of(path: Path, photos: Collection[str]) -> dict[str, Labels]:
    labels: dict[str, Labels] = {}
    with LabelStore(path, readonly=True) as store:
        for key in store.pseudo_index():
            photo, _ = split_key(key)
            if photo not in photos:
                continue
            label = store.get_pseudo(key)
            if label:
                labels.setdefault(photo, {})[key] = label
    return labels


def _texts_of(path: Path, photos: Collection[str]) -> dict[str, Texts]:
    with LabelStore(path, readonly=True) as store:
        pairs = store.texts()
    texts: dict[str, Texts] = {}
    for key, pair in pairs.items():
        photo, _ = split_key(key)
        if photo in photos:
            texts.setdefault(photo, {})[key] = pair
    return texts


def _place(key: str) -> tuple[int, ...]:
    """Return the order of a key: the whole photo comes before its crops, these by their boxes."""
    return split_key(key)[1] or ()
