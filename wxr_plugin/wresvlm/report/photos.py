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
from wxr_plugin.wresvlm.report.measuring import INPUT, Row, spread
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

    The sources are the photo, its restoration after each step, and its pseudo-labels where there
    are any; the last restoration is on the right.
    """
    shown = spread(rows, settings.options.report.shown)
    answers = read_answers(settings, stages, [row["photo"] for row in shown])
    steps = [INPUT, *(shown[0]["files"] if shown else ())]
    sources = [*steps, *([LABELS] if answers.labels else [])]
    names = scores.measures(rows)
    metrics = settings.options.report.metrics
    photos = RealPhotos(settings.real)
    sets = []
    for weather in (*REAL, "clear", "unknown"):
        images = [
            _image(photos, row, sources, names, answers, settings.options.report.texts)
            for row in shown
            if row["weather"] == weather
        ]
        if images:
            # The page carries every image, so there are no addresses.
            base = [""] * len(sources)
            sets.append({"title": weather, "base": base, "images": images})
    return {
        "sources": [(source, source) for source in sources],
        "right": len(steps) - 1,
        "metrics": [(name, scores.better(metrics, name), scores.DIGITS) for name in names],
        "sets": sets,
    }


def read_answers(settings: Settings, stages: Sequence[str], photos: Collection[str]) -> Answers:
    """Read the pseudo-labels and texts of `photos` from the last of `stages` that has them."""
    answers = Answers({}, {})
    if stage := label_stage(settings, stages):
        answers = answers._replace(labels=_labels_of(settings.labels(stage), photos))
    if stage := text_stage(stages):
        answers = answers._replace(texts=_texts_of(settings.labels(stage), photos))
    return answers


def label_stage(settings: Settings, stages: Sequence[str]) -> str | None:
    """Return the last stage that stored pseudo-labels; None without any."""
    if not settings.uses_labels:
        return None
    kinds = ("init", "panel", "round")
    names = [name for name in stages if name.split("_")[0] in kinds]
    return names[-1] if names else None


def text_stage(stages: Sequence[str]) -> str | None:
    """Return the last stage that rewrote descriptions; None without any."""
    names = [name for name in stages if name.split("_")[0] == "rewrite"]
    return names[-1] if names else None


def label_picture(photo: np.ndarray, labels: Labels) -> np.ndarray:
    """Return the pseudo-labels of a photo (H, W, 3), uint8 RGB, as one image of its size.

    Those of crops lie at their places, over that of the whole photo or, without one, over the
    darkened photo.
    """
    picture = (photo * DIMMED).astype(np.uint8)
    for key in sorted(labels, key=_place):
        image, box = labels[key].image, split_key(key)[1]
        if box is None:
            picture = image.copy()
        else:
            # The crop of a small photo is padded at its right and bottom; that part is left out.
            rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
            height, width = picture[rows, columns].shape[:2]
            picture[rows, columns] = image[:height, :width]
    return picture


def label_texts(labels: Labels, texts: Texts, most: int) -> list[Part]:
    """Return the ratings and texts of up to `most` parts of a photo: the whole, or crops."""
    parts = []
    for key in sorted({*labels, *texts}, key=_place)[:most]:
        box = split_key(key)[1]
        entries = []
        if label := labels.get(key):
            text = f"rating {label.rating:.2f} of 5, from {label.source}"
            entries.append(("Pseudo-label", text))
        if key in texts:
            description, rewrite = texts[key]
            entries += [("Description", description), ("Rewrite", rewrite)]
        parts.append((f"Crop {box}" if box else "Whole photo", entries))
    return parts


def _image(
    photos: RealPhotos,
    row: Row,
    sources: Sequence[str],
    names: Sequence[str],
    answers: Answers,
    most: int,
) -> dict[str, Any]:
    """Return a photo as the viewer takes it."""
    key = row["photo"]
    photo = photos.read(key)
    labels = answers.labels.get(key, {})
    images = {INPUT: photo}
    for step, file in row["files"].items():
        images[step] = read_image(file)
    if labels:
        images[LABELS] = label_picture(photo, labels)
    encoded = {source: image_uri(image, SIDE) for source, image in images.items()}
    height, width = photo.shape[:2]
    return {
        "n": key,
        "s": [width, height],
        "f": [None] * len(sources),
        "d": [encoded.get(source) for source in sources],
        "v": [_figures(row["values"].get(source, {}), names) for source in sources],
        "t": label_texts(labels, answers.texts.get(key, {}), most),
    }


def _figures(values: Mapping[str, float], names: Sequence[str]) -> list[float | None]:
    rounded = {name: round(value, scores.DIGITS) for name, value in values.items()}
    return [rounded.get(name) for name in names]


def _labels_of(path: Path, photos: Collection[str]) -> dict[str, Labels]:
    labels: dict[str, Labels] = {}
    with LabelStore(path, readonly=True) as store:
        for key in store.pseudo_index():
            photo = split_key(key)[0]
            label = store.get_pseudo(key) if photo in photos else None
            if label:
                labels.setdefault(photo, {})[key] = label
    return labels


def _texts_of(path: Path, photos: Collection[str]) -> dict[str, Texts]:
    with LabelStore(path, readonly=True) as store:
        pairs = store.texts()
    texts: dict[str, Texts] = {}
    for key, pair in pairs.items():
        photo = split_key(key)[0]
        if photo in photos:
            texts.setdefault(photo, {})[key] = pair
    return texts


def _place(key: str) -> tuple[int, ...]:
    """Return the order of a key: the whole photo comes before its crops, these by their boxes."""
    return split_key(key)[1] or ()
