"""Measures of the real photos: each is restored by the network of every stage, rated and scored."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.data.images.io import read_image
from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.inference.packaged import checkpoint_path
from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.labels.initial import result_settings
from wxr_plugin.labels.labelling import RatingTask, label_photos
from wxr_plugin.labels.restoring import Restorations, photo_contents, restore_photos
from wxr_plugin.labels.sources import Picture, of_pixels
from wxr_plugin.labels.store import LabelStore, content_hash
from wxr_plugin.metrics.vlm_vis_metric import visibility
from wxr_plugin.options.nested import block
from wxr_plugin.utils.progress import counting_bar
from wxr_plugin.wresvlm.label_stages import init_settings, trained
from wxr_plugin.wresvlm.settings import Settings, sorted_roots

INPUT = "input"
START = "start"
VIS = "VLM-Vis"
TRUTH = "truth"
PSNR = {"PSNR": {"type": "calculate_psnr", "crop_border": 0, "better": "higher"}}
"""Measure of a restoration where the ground truth is known."""
BATCH = 8
Row = dict[str, Any]
"""Keys: photo, weather, files (step -> its restoration), values (step -> measure -> number)."""


def steps(settings: Settings, stages: Sequence[str]) -> dict[str, RestorerSpec]:
    """Return the network after each stage that trained, by the name of the stage.

    Before them comes `start`, the network that the first training began with, if it had one.
    """
    networks = {}
    for name in stages:
        is_training = name == "supervised" or name.startswith("round_")
        if is_training:
            networks[name] = trained(settings, name, name)
    opt = settings.supervised or settings.train
    first = block(opt, "path").get("pretrain_network_g")
    if not first:
        return networks
    # A published file does not hold its network: it is the one that training names.
    file = checkpoint_path(first)
    network = None if load_network_options(file) else opt["network_g"]
    start = RestorerSpec(START, file, network)
    return {START: start, **networks}


def measure(settings: Settings, networks: dict[str, RestorerSpec]) -> list[Row]:
    """Restore the chosen real photos with every network; rate and score them.

    Restorations and ratings are kept in measured/ of the working folder, so that the next report
    makes only those that are missing.
    """
    options = settings.options.report
    cache = settings.folder("measured") / "ratings.lmdb"
    all_photos = RealPhotos(settings.real)
    photos = evenly_chosen(all_photos, options.photos)
    with counting_bar("reading the photos", len(photos)) as advance:
        contents, failed = photo_contents(photos, advance)
    restorations = Restorations(cache)
    files = restored(settings, photos, contents, networks, restorations)
    for line in failed:
        print(f"failed: {line}")
    rows = []
    for key in contents:
        # Stages are compared on the photos that every network restores.
        if len(files[key]) == len(networks):
            row = {
                "photo": key,
                "weather": _weather(photos, key),
                "files": files[key],
                "values": {},
            }
            rows.append(row)
    for name in options.judges:
        _rate(settings, name, Results(photos, contents, rows), cache)
    _score(settings, photos, rows)
    return rows


def evenly_chosen(photos: RealPhotos, most: int | None) -> RealPhotos:
    """Return up to `most` photos of each weather, spread evenly; all of them if it is None."""
    by_weather: dict[int, list[str]] = {}
    for photo in photos.photos:
        keys = by_weather.setdefault(photo.weather, [])
        keys.append(photo.key)
    chosen = []
    for keys in by_weather.values():
        chosen += spread(keys, most or len(keys))
    return photos.subset(chosen)


def spread(items: Sequence, most: int) -> list:
    """Return up to `most` of `items`, spread evenly over them."""
    count = min(most, len(items))
    last = len(items) - 1
    places = np.linspace(0, last, count)
    indices = places.round().astype(int)
    return [items[index] for index in indices]


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
    # As for the first vote.
    how = result_settings(init_settings(settings))
    options = {**how, "device": settings.options.launch.device}
    restorations: dict[str, dict[str, str]] = {key: {} for key in contents}
    for name, spec in networks.items():
        digest = spec.digest(**how)
        files = {}
        for key, content in contents.items():
            files[key] = folder.file(spec, digest, key, content)
        with counting_bar(f"restoring: {name}", len(files)) as advance:
            result = restore_photos(photos, files, spec, options, advance)
        for line in result.failed:
            print(f"failed: {line}")
        for key, file in files.items():
            if file.is_file():
                restorations[key][name] = str(file)
    return restorations


class Results:
    """Photos and their restorations as the Source of a rater."""

    def __init__(self, photos: RealPhotos, contents: dict[str, str], rows: Sequence[Row]):
        self.photos = photos
        self.contents = contents
        self.rows = rows
        counts = [len(row["files"]) for row in rows]
        # The photo itself, and its restorations.
        self.group_size = 1 + max(counts, default=0)

    def __len__(self) -> int:
        return len(self.rows)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """Yield a function for each photo, see labels.sources.Source."""
        for row in self.rows:
            yield partial(self.pictures, row)

    def pictures(self, row: Row) -> list[Picture]:
        """Return the photo, then its restoration by each network."""
        key = row["photo"]
        content = self.contents[key]
        path = self.photos.path(key)
        read = partial(self.photos.read, key)
        photo = Picture(key, content, path, read)
        pictures = [photo]
        for step, file in row["files"].items():
            image = read_image(file)
            restoration = of_pixels(key, image, f"{key} ({step})")
            pictures.append(restoration)
        return pictures


def vis_of(settings: Settings, name: str) -> str:
    """Return the name of the VLM-Vis of the rater `name`."""
    return VIS if name == settings.options.report.rater else f"{VIS} ({name})"


def truth_of(settings: Settings) -> RealPhotos | None:
    """Return the ground truth of the real photos, named like them; None without any."""
    roots = settings.options.report.truth
    return RealPhotos(sorted_roots(roots)) if roots else None


def _rate(settings: Settings, name: str, source: Results, cache: Path) -> None:
    """Put the VLM-Vis of one rater, (rating - 1) / 4, into the rows.

    Images without a rating have none.
    """
    from wxr_plugin.vlm.rater import build_rater

    rater = build_rater(settings.options.raters[name])
    task = RatingTask(rater)
    measure_name = vis_of(settings, name)
    count = len(source) * source.group_size
    with LabelStore(cache) as store:
        with counting_bar(f"rating: {name}", count) as advance:
            tally = label_photos(source, task, store, BATCH, progress=advance)
        for line in tally.failed:
            print(f"failed: {line}")
        for row in source.rows:
            _put_ratings(row, measure_name, source.contents[row["photo"]], store, task)


def _put_ratings(
    row: Row,
    measure_name: str,
    photo_content: str,
    store: LabelStore,
    task: RatingTask,
) -> None:
    """Put the stored ratings of a photo and of its restorations into its row."""
    # Ratings are keyed by content: an image that an earlier report rated is not rated again.
    contents = {INPUT: photo_content}
    for step, file in row["files"].items():
        image = read_image(file)
        contents[step] = content_hash(image)
    for step, content in contents.items():
        rating = store.get_rating(row["photo"], content, task.provenance)
        if rating:
            values = row["values"].setdefault(step, {})
            values[measure_name] = visibility(rating.rating)


def _score(settings: Settings, photos: RealPhotos, rows: list[Row]) -> None:
    """Put the metrics into the rows, except where a metric fails on an image.

    They are the no-reference ones and, where the ground truth is known, PSNR.
    """
    metrics = settings.options.report.metrics
    truth = truth_of(settings)
    failed: dict[str, list[str]] = {}
    if not (metrics or truth):
        return
    with counting_bar("measuring", len(rows)) as advance:
        for row in rows:
            if metrics:
                _score_photo(row, photos, metrics, None, failed)
            if truth and row["photo"] in truth:
                _score_photo(row, photos, PSNR, truth.read(row["photo"]), failed)
            advance(1, "")
    for name, lines in failed.items():
        # One line a metric; its first reason stands for the others.
        print(f"failed: {name} of {len(lines)} images: {lines[0]}")


def _score_photo(
    row: Row,
    photos: RealPhotos,
    metrics: Mapping[str, dict],
    truth: np.ndarray | None,
    failed: dict[str, list[str]],
) -> None:
    """Put the metrics of a photo and of its restorations into its row."""
    key = row["photo"]
    images = {INPUT: photos.read(key)}
    for step, file in row["files"].items():
        images[step] = read_image(file)
    for step, image in images.items():
        place = f"{key} ({step})"
        values = row["values"]
        for name, value in _measured(image, truth, metrics, place, failed):
            values.setdefault(step, {})[name] = value


def _measured(
    image: np.ndarray,
    truth: np.ndarray | None,
    metrics: Mapping[str, dict],
    place: str,
    failed: dict[str, list[str]],
) -> Iterator[tuple[str, float]]:
    from wxr_plugin.models.base.val_metrics import measure as measure_image

    # BasicSR's metrics take (H, W, 3) in the order BGR.
    bgr = np.ascontiguousarray(image[..., ::-1])
    bgr_truth = None if truth is None else np.ascontiguousarray(truth[..., ::-1])
    for name, metric in metrics.items():
        try:
            values = measure_image(bgr, bgr_truth, {name: metric})
        # A metric may raise anything; one odd photo must not end the whole report.
        except Exception as error:
            reasons = failed.setdefault(name, [])
            reasons.append(f"{place}: {error}")
            continue
        value = values[name]
        # NaN: the metric refuses the image, and has logged why.
        if not math.isnan(value):
            yield name, value


def _weather(photos: RealPhotos, key: str) -> str:
    number = photos.weather(key)
    if number < 0:
        return "unknown"
    return WEATHERS[number]
