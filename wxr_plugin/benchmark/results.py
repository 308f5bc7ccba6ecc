"""What a benchmark left in its folder, and the means over it."""

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from wxr_plugin.benchmark import results_files as files
from wxr_plugin.benchmark.results_files import PROTOCOL, Facts, Row
from wxr_plugin.utils.grouping import mean_without_nan

INPUT = "input"
"""The method that restores nothing."""


class Mean(NamedTuple):
    """A mean and how many images it is over; `missing` are those of the set that have no finite value."""

    value: float
    count: int
    missing: int


class Results:
    """The rows of a benchmark folder, and means over them."""

    def __init__(
        self,
        folder: Path,
        facts: Facts,
        rows: list[Row],
        set_values: dict[tuple[str, str, str], tuple],
    ):
        self.folder, self.facts, self.rows = folder, facts, rows
        self.methods, self.sets, self.metrics = facts.methods, facts.sets, facts.metrics
        self._set_values = set_values
        self._means: dict[tuple[str, str, str], Mean] = {}
        self._cells: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            self._cells.setdefault((row.method, row.set), []).append(row)

    @classmethod
    def read(cls, folder: str | Path) -> "Results":
        """Read a benchmark folder, whether the benchmark is done or still under way.

        Of two rows of one image the last counts; rows of methods and sets that benchmark.json no
        longer names do not.

        Raises:
            WxrError: no benchmark there, or a file that cannot be read; the message names file and
                line.
        """
        folder = Path(folder)
        facts = files.read_facts(folder / files.FACTS)
        rows = {
            (row.method, row.set, row.image): row
            for row in files.read_rows(folder / files.ROWS, facts)
        }
        values = {
            key: (value, count)
            for key, value, count in files.read_set_values(folder / files.SET_VALUES)
        }
        return cls(folder, facts, list(rows.values()), values)

    def of(self, method: str, name: str) -> list[Row]:
        """The rows of a method on a set."""
        return self._cells.get((method, name), [])

    def mean(self, method: str, name: str, metric: str) -> Mean:
        """The mean over a set, without images that failed or whose value is not finite; NaN where none is left.

        A metric of whole sets (FID) has its one value here.
        """
        key = method, name, metric
        if key not in self._means:
            self._means[key] = self._mean(*key)
        return self._means[key]

    def average(self, method: str, sets: Iterable[str], metric: str) -> float:
        """The unweighted mean of the means over `sets`, as papers print it; NaN unless every set has one."""
        return fmean(self.mean(method, name, metric).value for name in sets)

    def baseline(self, method: str, name: str, metric: str) -> float:
        """Return the input's mean over those images of a set that the method has too; NaN where there is none.

        A metric of whole sets has the input's one value here, if both are over as many images.
        """
        if self.metrics[metric].of == "set":
            ours, theirs = (self.mean(each, name, metric) for each in (method, INPUT))
            return theirs.value if ours.count == theirs.count else math.nan
        measured = {row.image for row in self.of(method, name) if math.isfinite(row.scores[metric])}
        rows = [row for row in self.of(INPUT, name) if row.image in measured]
        values = [value for row in rows if math.isfinite(value := row.scores[metric])]
        return mean_without_nan(values) if len(values) == len(measured) else math.nan

    def applies(self, name: str, metric: str) -> bool:
        """Whether any method has a value of the metric on the set."""
        return any(self.mean(method, name, metric).count for method in self.methods)

    def seconds_per_megapixel(self, method: str) -> float:
        """Seconds of all timed images by their megapixels; NaN where none was timed."""
        timed = [row for row in self._all(method) if math.isfinite(row.seconds) and row.megapixels]
        return (
            sum(row.seconds for row in timed) / sum(row.megapixels for row in timed)
            if timed
            else math.nan
        )

    def peak_mib(self, method: str) -> float:
        """The largest peak memory of an image, in MiB; NaN where it was not measured."""
        return max(
            (row.peak_mib for row in self._all(method) if math.isfinite(row.peak_mib)),
            default=math.nan,
        )

    def errors(self) -> list[Row]:
        """The rows that tell of an error."""
        return [row for row in self.rows if row.error]

    def protocols(self, method: str) -> dict[str, list[str]]:
        """Of each column of the protocol the different values in the rows of a method."""
        rows = self._all(method)
        return {key: list(dict.fromkeys(row.protocol[key] for row in rows)) for key in PROTOCOL}

    def overlaps(self) -> list[dict[str, str]]:
        """The rows of overlaps.csv: test images that are training images too.

        Empty where none were found.
        """
        return files.read_overlaps(self.folder / files.OVERLAPS)

    def _all(self, method: str) -> list[Row]:
        return [row for name in self.sets for row in self.of(method, name)]

    def _mean(self, method: str, name: str, metric: str) -> Mean:
        rows = self.of(method, name)
        if self.metrics[metric].of == "set":
            value, count = self._set_values.get((method, name, metric), (math.nan, 0))
        else:
            values = [value for row in rows if math.isfinite(value := row.scores[metric])]
            value, count = mean_without_nan(values), len(values)
        return Mean(value, count, max(self.sets[name].count or 0, len(rows)) - count)
