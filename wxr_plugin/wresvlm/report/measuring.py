"""Measures of the real photos: each is restored by the network of every stage, rated and scored."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.data.images.io import read_image
from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.labels.labelling import RatingTask, label_photos
from wxr_plugin.labels.restoring import Restorations, photo_contents, restore_photos
from wxr_plugin.labels.sources import Picture, of_pixels
from wxr_plugin.labels.store import LabelStore, content_hash
from wxr_plugin.metrics.vlm_vis_metric import visibility
from wxr_plugin.options.nested import block
from wxr_plugin.utils.progress import counting_bar
from wxr_plugin.wresvlm.label_stages import trained
from wxr_plugin.wresvlm.settings import Settings

INPUT = "input"
START = "start"
VIS = "VLM-Vis"
BATCH = 8
Row = dict[str, Any]
"""Keys: photo, weather, files (step -> its restoration), values (step -> measure -> number)."""


def steps(settings: Settings, stages: Sequence[str]) -> dict[str, RestorerSpec]:
    """Return the network after each stage that trained, by the name of the stage.

    Before them comes `start`, the network that the first training began with, if it had one.
    """
    names = [name for name in stages if name == "supervised" or name.startswith("round_")]
    networks = {name: trained(settings, name, name) for name in names}
    opt = settings.supervised or settings.train
    first = block(opt, "path").get("pretrain_network_g")
    if not first:
        return networks
    network = None if load_network_options(first) else opt["network_g"]
    return {START: RestorerSpec(START, Path(first), network), **networks}


def measure(settings: Settings, networks: dict[str, RestorerSpec]) -> list[Row]:
    """Restore the chosen real photos with every network; rate and score them.

    Restorations and ratings are kept in measured/ of the working folder, so that the next report
    makes only those that are missing.
    """
    cache, options = settings.folder("measured") / "ratings.lmdb", settings.options.report
    photos = evenly_chosen(RealPhotos(settings.real), options.photos)
    with counting_bar("reading the photos", len(photos)) as advance:
        contents, failed = photo_contents(photos, advance)
    files = restored(settings, photos, contents, networks, Restorations(cache))
    for line in failed:
        print(f"failed: {line}")
    rows = [
        {"photo": key, "weather": _weather(photos, key), "files": files[key], "values": {}}
        for key in contents
        if len(files[key]) == len(networks)
    ]
    if options.rater:
        _rate(settings, photos, contents, rows, cache)
    _score(settings, photos, rows)
    return rows


def evenly_chosen(photos: RealPhotos, most: int | None) -> RealPhotos:
    """Return up to `most` photos of each weather, spread evenly; all of them if it is None."""
    by_weather: dict[int, list[str]] = {}
    for photo in photos.photos:
        by_weather.setdefault(photo.weather, []).append(photo.key)
    groups = [spread(keys, most or len(keys)) for keys in by_weather.values()]
    return photos.subset(key for group in groups for key in group)


def spread(items: Sequence, most: int) -> list:
    """Return up to `most` of `items`, spread evenly over them."""
    count = min(most, len(items))
    places = np.linspace(0, len(items) - 1, count)
    return [items[place] for place in places.round().astype(int)]


def restored(
    settings: Settings,
    photos: RealPhotos,
    contents: dict[str, str],
    networks: dict[str, RestorerSpec],
    folder: Restorations,
) -> dict[str, dict[str, str]]:
    """Restore the photos with every network; return photo -> name of the network -> file.

    Where a network fails on a photo, the reason is printed and the file is missing.
    """
    init = settings.options.init
    tiles = {"tile": 1024, "overlap": 32}
    if init:
        tiles = {"tile": init.tile, "overlap": init.overlap}
    restorations: dict[str, dict[str, str]] = {key: {} for key in contents}
    for name, spec in networks.items():
        digest = spec.digest(**tiles)
        files = {key: folder.file(spec, digest, key, content) for key, content in contents.items()}
        with counting_bar(f"restoring: {name}", len(files)) as advance:
            result = restore_photos(
                photos, files, spec, {**tiles, "device": settings.options.launch.device}, advance
            )
        for line in result.failed:
            print(f"failed: {line}")
        for key, file in files.items():
            if file.is_file():
                restorations[key][name] = str(file)
    return restorations


class Results:
    """Photos and their restorations as the Source of a rater."""

    def __init__(self, photos: RealPhotos, contents: dict[str, str], rows: Sequence[Row]):
        self.photos, self.contents, self.rows = photos, contents, rows
        self.group_size = 1 + max((len(row["files"]) for row in rows), default=0)

    def __len__(self) -> int:
        return len(self.rows)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """Yield a function for each photo, see labels.sources.Source."""
        return (partial(self.pictures, row) for row in self.rows)

    def pictures(self, row: Row) -> list[Picture]:
        """Return the photo, then its restoration by each network."""
        key = row["photo"]
        read = partial(self.photos.read, key)
        pictures = [Picture(key, self.contents[key], self.photos.path(key), read)]
        for step, file in row["files"].items():
            pictures.append(of_pixels(key, read_image(file), f"{key} ({step})"))
        return pictures


def _rate(
    settings: Settings,
    photos: RealPhotos,
    contents: dict[str, str],
    rows: list[Row],
    cache: Path,
) -> None:
    """Put VLM-Vis, (rating - 1) / 4, into the rows; images without a rating have none."""
    from wxr_plugin.vlm.rater import build_rater

    task = RatingTask(build_rater(settings.options.raters[settings.options.report.rater]))
    source = Results(photos, contents, rows)
    with LabelStore(cache) as store:
        with counting_bar(
            f"rating: {settings.options.report.rater}", len(source) * source.group_size
        ) as advance:
            tally = label_photos(source, task, store, BATCH, progress=advance)
        for line in tally.failed:
            print(f"failed: {line}")
        # Ratings are keyed by content: an image that an earlier report rated is not rated again.
        for row in rows:
            hashes = {step: content_hash(read_image(file)) for step, file in row["files"].items()}
            for step, content in {INPUT: contents[row["photo"]], **hashes}.items():
                if rating := store.get_rating(row["photo"], content, task.provenance):
                    row["values"].setdefault(step, {})[VIS] = visibility(rating.rating)


def _score(settings: Settings, photos: RealPhotos, rows: list[Row]) -> None:
    """Put the no-reference metrics into the rows, except where a metric fails on an image."""
    metrics = settings.options.report.metrics
    failed: dict[str, list[str]] = {}
    if not metrics:
        return
    with counting_bar("measuring", len(rows)) as advance:
        for row in rows:
            images = {step: read_image(file) for step, file in row["files"].items()}
            for step, image in {INPUT: photos.read(row["photo"]), **images}.items():
                for name, value in _measured(image, metrics, f"{row['photo']} ({step})", failed):
                    row["values"].setdefault(step, {})[name] = value
            advance(1, "")
    for name, lines in failed.items():
        print(f"failed: {name} of {len(lines)} images: {lines[0]}")


def _measured(
    image: np.ndarray,
    metrics: dict[str, dict],
    place: str,
    failed: dict[str, list[str]],
) -> Iterator[tuple[str, float]]:
    from wxr_plugin.models.base.val_metrics import measure as measure_image

    bgr = np.ascontiguousarray(image[..., ::-1])
    for name, metric in metrics.items():
        try:
            values = measure_image(bgr, None, {name: metric})
        # A metric may raise anything; one odd photo must not end the whole report.
        except Exception as error:
            failed.setdefault(name, []).append(f"{place}: {error}")
        else:
            # NaN: the metric refuses the image, and has logged why.
            if not math.isnan(values[name]):
                yield name, values[name]


def _weather(photos: RealPhotos, key: str) -> str:
    number = photos.weather(key)
    return WEATHERS[number] if number >= 0 else "unknown"
