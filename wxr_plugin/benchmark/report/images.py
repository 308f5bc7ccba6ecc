"""The images of a report: which of them the page carries, and where the others are."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from wxr_plugin.benchmark.report.tables import title
from wxr_plugin.benchmark.report.viewer import image_uri
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.benchmark.results_files import MetricInfo, Row
from wxr_plugin.data.images.io import BadImageError, read_image
from wxr_plugin.data.images.sources import in_order

GT = "gt"
_Rows = dict[str, dict[str, Row]]
"""The rows of one set: key of a source -> name of an image -> row."""


class Source(NamedTuple):
    """An image that the viewer offers for each photo: the input, its ground truth or a result."""

    key: str
    """INPUT, GT or the name of a method."""
    title: str


class Shown(NamedTuple):
    """Settings of the viewer.

    Attributes:
        images: number of photos that the page carries.
        side: their longest side in pixels, at most.
        page: folder of the page.
    """

    images: int
    side: int
    page: Path


def viewer_data(results: Results, shown: Shown) -> dict[str, Any]:
    """Return the data of the viewer in a form that can be written as JSON.

    `sources` and `metrics` name the items of the lists `f`, `d` and `v` of an image: the rest of
    its address after the `base` of its set, its data URI if the page carries it, and the values of
    all metrics. Missing items are None. `picks` are the places of the metrics without ground truth,
    which may choose among candidates.
    """
    embedded = _embedded(results, shown.images)
    sources = _sources(results)
    metrics = []
    picks = []
    for place, (key, metric) in enumerate(_image_metrics(results).items()):
        metrics.append([metric.title or key, metric.better, metric.digits])
        if not metric.needs_gt:
            picks.append(place)
    # A set of which nothing is restored yet has nothing to show.
    filled = [name for name in results.sets if _image_names(results, name)]
    return {
        "sources": [list(source) for source in sources],
        "metrics": metrics,
        "picks": picks,
        "sets": [_set(results, name, sources, embedded, shown) for name in filled],
    }


def counts(data: dict[str, Any]) -> tuple[int, int]:
    """Return how many photos the page carries, and how many it links."""
    images = []
    for block in data["sets"]:
        images += block["images"]
    carried = [image for image in images if any(image["d"])]
    return len(carried), len(images) - len(carried)


def _sources(results: Results) -> list[Source]:
    sources = [Source(INPUT, "Input")]
    if any(row.gt for row in results.rows):
        sources.append(Source(GT, "Ground truth"))
    for name in results.methods:
        if name != INPUT:
            sources.append(Source(name, title(results, name)))
    return sources


def _embedded(results: Results, most: int) -> set[tuple[str, str]]:
    """Return up to `most` photos as (set, image): equally many of each set, spread evenly."""
    photos = {name: _image_names(results, name) for name in results.sets}
    share = dict.fromkeys(photos, 0)
    # One more photo of each set in turn, until all are taken or `most` is reached.
    while most > 0:
        unfinished = [name for name in photos if share[name] < len(photos[name])]
        if not unfinished:
            break
        increased = unfinished[:most]
        for name in increased:
            share[name] += 1
        most -= len(increased)
    chosen = set()
    for name, names in photos.items():
        count = share[name]
        for number in range(count):
            place = number * len(names) // count
            chosen.add((name, names[place]))
    return chosen


def _set(
    results: Results,
    name: str,
    sources: list[Source],
    embedded: set,
    shown: Shown,
) -> dict[str, Any]:
    rows: _Rows = {}
    for source in sources:
        rows[source.key] = {row.image: row for row in results.of(source.key, name)}
    names = _image_names(results, name)
    # A column per source: the files, their addresses, and the start that the addresses share.
    columns, bases, rests = [], [], []
    for source in sources:
        files = [_file(results, rows, source.key, image) for image in names]
        addresses = [_address(file, shown.page) for file in files]
        base, address_rests = _split_addresses(addresses)
        columns.append(files)
        bases.append(base)
        rests.append(address_rests)
    images = []
    for place, image in enumerate(names):
        is_carried = (name, image) in embedded
        files = [column[place] for column in columns]
        # Short keys, because a page may have thousands of these entries.
        entry = {
            "n": image,
            "s": _size(rows, image),
            "f": [rest[place] for rest in rests],
            "d": [_data(file, shown.side) if is_carried else None for file in files],
            "v": [_values(results, rows[source.key].get(image)) for source in sources],
        }
        images.append(entry)
    return {
        "title": results.sets[name].title or name,
        "base": bases,
        "images": images,
    }


def _split_addresses(addresses: list[str | None]) -> tuple[str, list[str | None]]:
    """Return the start that all addresses share, and the rest of each; None stays None."""
    present = [address for address in addresses if address]
    # Letter by letter, because the rest need not begin at a folder.
    base = os.path.commonprefix(present)  # noqa: RUF071
    rests: list[str | None] = []
    for address in addresses:
        rest = address.removeprefix(base) if address else None
        rests.append(rest)
    return base, rests


def _image_names(results: Results, name: str) -> list[str]:
    """Return the photos of a set that any method has, numbers in their names in natural order."""
    rows = [row for method in results.methods for row in results.of(method, name)]
    names = {Path(row.image): row.image for row in rows}
    return [names[path] for path in in_order(names)]


def _file(results: Results, rows: _Rows, key: str, image: str) -> Path | None:
    """Return the file of a source; any method's row names the photo and its ground truth."""
    file = ""
    if key in (INPUT, GT):
        for row in _rows_of(rows, image):
            file = file or (row.lq if key == INPUT else row.gt)
    elif image in rows[key]:
        file = rows[key][image].restored
    if not file:
        return None
    return results.folder / file


def _rows_of(rows: _Rows, image: str) -> Iterator[Row]:
    """Yield the row of each source that has `image`."""
    for by_image in rows.values():
        if image in by_image:
            yield by_image[image]


def _address(file: Path | None, page: Path) -> str | None:
    if file is None:
        return None
    relative = os.path.relpath(file, page)
    return quote(relative)


def _data(file: Path | None, side: int) -> str | None:
    if not file:
        return None
    try:
        return image_uri(read_image(file), side)
    except BadImageError:  # gone, or never written: the viewer says so
        return None


def _size(rows: _Rows, image: str) -> list[int]:
    """Return width and height of the largest version of an image, 4:3 where none is known."""
    sizes = [row.size for row in _rows_of(rows, image) if all(row.size)]
    return list(max(sizes, default=(4, 3)))


def _values(results: Results, row: Row | None) -> list[float | None] | None:
    if row is None:
        return None
    values = []
    for key, metric in _image_metrics(results).items():
        value = row.scores[key]
        # JSON has neither NaN nor infinity.
        shown = round(value, metric.digits) if math.isfinite(value) else None
        values.append(shown)
    return values


def _image_metrics(results: Results) -> dict[str, MetricInfo]:
    return {key: metric for key, metric in results.metrics.items() if metric.of == "image"}
