"""The images of a report: which ones its page carries, and where the others lie."""

import math
import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from wxr_plugin.benchmark.report.tables import title
from wxr_plugin.benchmark.report.viewer import image_uri
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.benchmark.results_files import Row
from wxr_plugin.data.images.io import BadImageError, read_image
from wxr_plugin.inference.frames import in_order

GT = "gt"


class Source(NamedTuple):
    """What can be looked at: the photo, its ground truth, or what a method made of it."""

    key: str
    title: str


class Shown(NamedTuple):
    """How images are shown: `images` photos within the page, of at most `side` pixels; `page` is the page's folder."""

    images: int
    side: int
    page: Path


def viewer_data(results: Results, shown: Shown) -> dict[str, Any]:
    """All that the viewer needs, as JSON takes it.

    `sources` and `metrics` name what `f`, `d` and `v` of an image hold in turn: the rest of its
    address after the `base` of its set, its data URI where the page carries it, and the values of
    all metrics; null where there is none.
    """
    embedded = _embedded(results, shown.images)
    sources = _sources(results)
    metrics = [
        [each.title or key, each.better, each.digits] for key, each in _of_images(results).items()
    ]
    sets = [
        _set(results, name, sources, embedded, shown)
        for name in results.sets
        if _names(results, name)
    ]
    return {"sources": [list(each) for each in sources], "metrics": metrics, "sets": sets}


def counts(data: dict[str, Any]) -> tuple[int, int]:
    """How many photos the page carries, and how many it links."""
    images = [image for each in data["sets"] for image in each["images"]]
    within = sum(any(image["d"]) for image in images)
    return within, len(images) - within


def _sources(results: Results) -> list[Source]:
    methods = [Source(name, title(results, name)) for name in results.methods if name != INPUT]
    has_gt = any(row.gt for row in results.rows)
    return [Source(INPUT, "Input"), *([Source(GT, "Ground truth")] if has_gt else []), *methods]


def _embedded(results: Results, most: int) -> set[tuple[str, str]]:
    """Up to `most` photos as set and name: as many of each set, spread evenly over it."""
    waiting = {name: len(names) for name in results.sets if (names := _names(results, name))}
    share = dict.fromkeys(waiting, 0)
    while most > 0 and (open_sets := [name for name in waiting if share[name] < waiting[name]]):
        for name in open_sets[:most]:
            share[name] += 1
        most -= len(open_sets[:most])
    chosen = set()
    for name, count in share.items():
        names = _names(results, name)
        chosen |= {(name, names[place * len(names) // count]) for place in range(count)}
    return chosen


def _set(
    results: Results, name: str, sources: list[Source], embedded: set, shown: Shown
) -> dict[str, Any]:
    rows = {
        source.key: {row.image: row for row in results.of(source.key, name)} for source in sources
    }
    names = _names(results, name)
    files = [[_file(results, rows, source.key, image) for image in names] for source in sources]
    addresses = [[_address(file, shown.page) for file in column] for column in files]
    bases = [os.path.commonprefix([each for each in column if each]) for column in addresses]  # noqa: RUF071
    images = []
    for place, image in enumerate(names):
        within = [
            _data(column[place], shown.side) if (name, image) in embedded else None
            for column in files
        ]
        rest = [
            column[place][len(base) :] if column[place] else None
            for column, base in zip(addresses, bases)
        ]
        values = [_values(results, rows[source.key].get(image)) for source in sources]
        images.append({"n": image, "s": _size(rows, image), "f": rest, "d": within, "v": values})
    return {"title": results.sets[name].title or name, "base": bases, "images": images}


def _names(results: Results, name: str) -> list[str]:
    """The photos of a set that any method has, in the order in which people count."""
    found = {
        Path(row.image): row.image for method in results.methods for row in results.of(method, name)
    }
    return [found[path] for path in in_order(found)]


def _file(results: Results, rows: dict[str, dict[str, Row]], key: str, image: str) -> Path | None:
    """The file of a source; the photo and its ground truth are named by the rows of any method."""
    if key in (INPUT, GT):
        told = (
            getattr(row, "lq" if key == INPUT else "gt")
            for each in rows.values()
            if (row := each.get(image))
        )
        file = next(filter(None, told), "")
    else:
        row = rows[key].get(image)
        file = row.restored if row else ""
    return results.folder / file if file else None


def _address(file: Path | None, page: Path) -> str | None:
    return quote(os.path.relpath(file, page)) if file else None


def _data(file: Path | None, side: int) -> str | None:
    try:
        return image_uri(read_image(file), side) if file else None
    except BadImageError:  # gone, or never written: the viewer says so
        return None


def _size(rows: dict[str, dict[str, Row]], image: str) -> list[int]:
    sizes = [row.size for each in rows.values() if (row := each.get(image)) and all(row.size)]
    return list(max(sizes, default=(4, 3)))


def _values(results: Results, row: Row | None) -> list[float | None] | None:
    if row is None:
        return None
    kept = ((row.scores[key], each.digits) for key, each in _of_images(results).items())
    return [round(value, digits) if math.isfinite(value) else None for value, digits in kept]


def _of_images(results: Results) -> dict[str, Any]:
    return {key: each for key, each in results.metrics.items() if each.of == "image"}
