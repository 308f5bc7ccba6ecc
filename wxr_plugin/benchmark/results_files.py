"""Readers of the files of a benchmark folder."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.csv_text import read_dicts

FACTS = "benchmark.json"
ROWS = "rows.csv"
SET_VALUES = "sets.csv"
OVERLAPS = "overlaps.csv"
PROTOCOL = (
    "checkpoint_sha256",
    "colour",
    "crop",
    "precision",
    "tile",
    "overlap",
    "versions",
    "device",
)
IMAGE_COLUMNS = (
    "method",
    "set",
    "image",
    "lq",
    "gt",
    "restored",
    "width",
    "height",
    "seconds",
    "peak_mib",
    "error",
)


class Method(msgspec.Struct, frozen=True):
    """A method as benchmark.json describes it."""

    title: str = ""
    zoo: str | None = None
    """Row of the zoo, for a published method."""
    checkpoint: str | None = None
    sha256: str | None = None
    parameters: int | None = None
    macs_per_megapixel: float | None = None
    precision: str | None = None
    tile: int | None = None
    overlap: int | None = None
    network: Any = None


class ImageSet(msgspec.Struct, frozen=True):
    """A test set as benchmark.json describes it."""

    title: str = ""
    task: str | None = None
    lq: Any = None
    gt: Any = None
    """None for photos without ground truth."""
    count: int | None = None
    """Number of images to measure."""


class MetricInfo(msgspec.Struct, frozen=True):
    """A metric as benchmark.json describes it."""

    title: str = ""
    better: Literal["higher", "lower"] = "higher"
    needs_gt: bool = False
    digits: int = 3
    of: Literal["image", "set"] = "image"


class Facts(msgspec.Struct, frozen=True):
    """Content of benchmark.json."""

    methods: dict[str, Method]
    sets: dict[str, ImageSet]
    metrics: dict[str, MetricInfo]
    name: str = "benchmark"
    options: Any = None
    versions: dict[str, str] = {}
    versions_by_digest: dict[str, dict[str, str]] = {}
    """Versions of packages by the digests in the column `versions` of rows.csv.

    A + in that column joins the digests of restoring and of measuring."""
    device: str = ""
    notes: list[str] = []
    """Notes for a reader of the figures."""


class Row(msgspec.Struct, frozen=True):
    """One image that one method restored: a row of rows.csv."""

    method: str
    set: str
    image: str
    lq: str
    gt: str
    restored: str
    """Path relative to the folder; empty if the image was not restored."""
    size: tuple[int, int]
    """Width and height; zeros if unknown."""
    seconds: float
    """NaN if it was not timed."""
    peak_mib: float
    """NaN if it was not measured."""
    error: str
    scores: dict[str, float]
    """Metric -> value; NaN if there is none."""
    protocol: dict[str, str]

    @property
    def megapixels(self) -> float:
        """Number of pixels in millions."""
        width, height = self.size
        return width * height / 1e6


def read_facts(file: Path) -> Facts:
    """Read benchmark.json; raise WxrError if there is none, or if it is not valid."""
    if not file.is_file():
        raise WxrError(
            f"{file.parent}: no {file.name} there; name the folder that `wxr benchmark` wrote"
        )
    try:
        return msgspec.json.decode(file.read_bytes(), type=Facts)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise WxrError(f"{file}: {error}; run `wxr benchmark` again, which replaces it") from None


def read_rows(file: Path, facts: Facts) -> Iterator[Row]:
    """Yield the rows of rows.csv whose method and set benchmark.json names; none without the file.

    Raises:
        WxrError: a row does not have the columns of a benchmark.
    """
    if not file.is_file():
        return
    for number, line in enumerate(read_dicts(file), 1):
        # csv puts surplus cells under the key None and fills missing ones with None.
        is_ragged = None in line or None in line.values()
        if is_ragged or not set(IMAGE_COLUMNS) <= line.keys():
            raise WxrError(
                f"{file}, row {number}: not as many columns as the header, or not a benchmark's; "
                f"run the benchmark again"
            )
        if line["method"] in facts.methods and line["set"] in facts.sets:
            yield _row(line, facts.metrics)


def _row(line: dict[str, str], metrics: Iterable[str]) -> Row:
    width = _number(line["width"])
    height = _number(line["height"])
    size = (0, 0)
    if math.isfinite(width * height):
        size = (int(width), int(height))
    return Row(
        method=line["method"],
        set=line["set"],
        image=line["image"],
        lq=line["lq"],
        gt=line["gt"],
        restored=line["restored"],
        size=size,
        seconds=_number(line["seconds"]),
        peak_mib=_number(line["peak_mib"]),
        error=line["error"],
        scores={key: _number(line.get(key, "")) for key in metrics},
        protocol={key: line.get(key, "") for key in PROTOCOL},
    )


def read_set_values(file: Path) -> Iterator[tuple[tuple[str, str, str], float, int]]:
    """Yield (method, set, metric), value and number of images from sets.csv."""
    if not file.is_file():
        return
    for line in read_dicts(file):
        value = _number(line["value"])
        count = _number(line["count"])
        if math.isfinite(value) and math.isfinite(count):
            key = (line["method"], line["set"], line["metric"])
            yield key, value, int(count)


def read_overlaps(file: Path) -> list[dict[str, str]]:
    """Return the rows of overlaps.csv; none without the file."""
    if not file.is_file():
        return []
    return list(read_dicts(file))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
