"""The results in a benchmark folder, and means over them."""

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from wxr_plugin.benchmark import results_files as files
from wxr_plugin.benchmark.results_files import PROTOCOL, Facts, Row
from wxr_plugin.utils.grouping import group_by, mean_without_nan

INPUT = "input"
"""Name of the method that restores nothing."""


class Mean(NamedTuple):
    """A mean and the number of images that it is over.

    `missing` is the number of images of the set that have no finite value.
    """

    value: float
    count: int
    missing: int


class Results:
    """The rows of a benchmark folder, and means over them.

    Args:
        folder: the folder, which paths of restored images are relative to.
        facts: content of benchmark.json.
        rows: one row for each method, set and image.
        set_values: (method, set, metric) -> value and number of images, of metrics of whole sets.
    """

    def __init__(
        self,
        folder: Path,
        facts: Facts,
        rows: list[Row],
        set_values: dict[tuple[str, str, str], tuple[float, int]],
    ):
        self.folder = folder
        self.facts = facts
        self.rows = rows
        self.methods = facts.methods
        self.sets = facts.sets
        self.metrics = facts.metrics
        self._set_values = set_values
        self._means: dict[tuple[str, str, str], Mean] = {}
        self._cells = group_by(rows, lambda row: (row.method, row.set))

    @classmethod
    def read(cls, folder: str | Path) -> "Results":
        """Read a benchmark folder, whether the benchmark is complete or still runs.

        Of two rows of one image the last counts. Rows of methods and sets that benchmark.json does
        not name are left out.

        Raises:
            WxrError: no benchmark there, or a file that cannot be read; the message names file and
                line.
        """
        folder = Path(folder)
        facts = files.read_facts(folder / files.FACTS)
        rows = {}
        for row in files.read_rows(folder / files.ROWS, facts):
            key = (row.method, row.set, row.image)
            rows[key] = row
        set_values = {}
        for key, value, count in files.read_set_values(folder / files.SET_VALUES):
            set_values[key] = (value, count)
        return cls(folder, facts, list(rows.values()), set_values)

    def of(self, method: str, name: str) -> list[Row]:
        """Return the rows of a method on the set `name`."""
        return self._cells.get((method, name), [])

    def mean(self, method: str, name: str, metric: str) -> Mean:
        """Return the mean over the images of a set that have a finite value; NaN if none has.

        A metric of whole sets (FID) has one value for the set in place of a mean.
        """
        key = (method, name, metric)
        # Tables, charts and warnings ask for the same means.
        if key not in self._means:
            self._means[key] = self._mean(method, name, metric)
        return self._means[key]

    def average(self, method: str, sets: Iterable[str], metric: str) -> float:
        """Return the unweighted mean of the means over `sets`; NaN unless every set has one.

        Papers print this as their average: a set of many images counts as much as one of few.
        """
        means = [self.mean(method, name, metric) for name in sets]
        return fmean(mean.value for mean in means)

    def baseline(self, method: str, name: str, metric: str) -> float:
        """Return the input's mean over the images of a set that the method has, NaN if it has none.

        For a metric of whole sets this is the input's value, if both are over equally many images.
        """
        if self.metrics[metric].of == "set":
            ours = self.mean(method, name, metric)
            inputs = self.mean(INPUT, name, metric)
            if ours.count != inputs.count:
                return math.nan
            return inputs.value
        rows = self.of(method, name)
        measured = {row.image for row in rows if math.isfinite(row.scores[metric])}
        input_rows = [row for row in self.of(INPUT, name) if row.image in measured]
        values = _finite(input_rows, metric)
        # An image without a value of the input would make the two means incomparable.
        if len(values) != len(measured):
            return math.nan
        return mean_without_nan(values)

    def applies(self, name: str, metric: str) -> bool:
        """Return whether any method has a value of the metric on the set."""
        means = (self.mean(method, name, metric) for method in self.methods)
        return any(mean.count for mean in means)

    def seconds_per_megapixel(self, method: str) -> float:
        """Return the time of all timed images by their megapixels; NaN if none was timed."""
        timed = []
        for row in self._all(method):
            # An image of unknown size has no megapixels.
            if math.isfinite(row.seconds) and row.megapixels:
                timed.append(row)
        if not timed:
            return math.nan
        seconds = sum(row.seconds for row in timed)
        megapixels = sum(row.megapixels for row in timed)
        return seconds / megapixels

    def peak_mib(self, method: str) -> float:
        """Return the largest peak memory of an image in MiB; NaN if it was not measured."""
        peaks = [row.peak_mib for row in self._all(method)]
        measured = filter(math.isfinite, peaks)
        return max(measured, default=math.nan)

    def errors(self) -> list[Row]:
        """Return the rows with an error."""
        return [row for row in self.rows if row.error]

    def protocols(self, method: str) -> dict[str, list[str]]:
        """Return for each column of the protocol the different values in the rows of a method."""
        rows = self._all(method)
        values = {}
        for key in PROTOCOL:
            # The keys of a dict are unique and keep the order of the rows.
            different = dict.fromkeys(row.protocol[key] for row in rows)
            values[key] = list(different)
        return values

    def overlaps(self) -> list[dict[str, str]]:
        """Return the rows of overlaps.csv, test images that are training images too."""
        return files.read_overlaps(self.folder / files.OVERLAPS)

    def _all(self, method: str) -> list[Row]:
        return [row for name in self.sets for row in self.of(method, name)]

    def _mean(self, method: str, name: str, metric: str) -> Mean:
        rows = self.of(method, name)
        if self.metrics[metric].of == "set":
            value, count = self._set_values.get((method, name, metric), (math.nan, 0))
        else:
            values = _finite(rows, metric)
            value = mean_without_nan(values)
            count = len(values)
        # A benchmark that still runs has fewer rows than the set has images.
        expected = max(self.sets[name].count or 0, len(rows))
        return Mean(value, count, expected - count)


def _finite(rows: list[Row], metric: str) -> list[float]:
    scores = (row.scores[metric] for row in rows)
    return [score for score in scores if math.isfinite(score)]
