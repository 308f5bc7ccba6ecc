"""Figures that papers published, from `published.yml`, to compare with ours."""

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from functools import lru_cache
from importlib import resources
from statistics import fmean
from typing import Literal

import msgspec
import yaml

FILE = resources.files(__package__) / "published.yml"


class PublishedMetric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric: how it is printed, and which metrics of a benchmark it is compared with."""

    better: Literal["higher", "lower"]
    digits: int
    keys: list[str]


class PublishedSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A test set: its heading, number of images if known, and other spellings of its name."""

    title: str
    count: int | None = None
    names: list[str] = []


class PublishedMethod(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The zoo rows that a method is compared with; `*` stands for any text."""

    zoo: list[str]
    note: str = ""


class Doubt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure that contradicts others of its table, and the reason."""

    method: str
    set: str
    metric: str
    note: str


class PublishedTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table. A row has a list of figures for each set, in the order of `sets` and `metrics`."""

    title: str
    paper: str
    sets: list[str]
    metrics: list[str]
    rows: dict[str, list[list[float]]]
    average: str = ""
    notes: str = ""
    doubtful: list[Doubt] = []
    method_notes: dict[str, str] = {}
    """Notes on the figures of one method in this table."""

    def value(self, method: str, name: str, metric: str) -> float:
        """Return one figure; raise KeyError or ValueError if the table does not have it."""
        by_set = self.rows[method]
        figures = by_set[self.sets.index(name)]
        return figures[self.metrics.index(metric)]


class Figure(msgspec.Struct, frozen=True):
    """One published figure and its source."""

    value: float
    digits: int
    count: int | None
    """Number of images that it was measured on, if known."""
    method: str
    paper: str
    """Key of the paper, as in `Published.papers`."""
    table: str
    """Key of the table."""
    set: str
    metric: str


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of `published.yml`."""

    metrics: dict[str, PublishedMetric]
    sets: dict[str, PublishedSet]
    methods: dict[str, PublishedMethod]
    papers: dict[str, str]
    tables: dict[str, PublishedTable]

    def find(self, zoo: str | None, title: str, sets: Iterable[str], metric: str) -> Figure | None:
        """Return the published figure of a method on a set; None if there is none.

        Args:
            zoo: row of the zoo that identifies the method; its title does if None.
            title: title of the method.
            sets: names of the set, any of which identifies it.
            metric: key of a benchmark's metrics.
        """
        spellings = {plain(name) for name in sets}
        for key, table in self.tables.items():
            names = [name for name in table.sets if spellings & self._spellings(name)]
            if not names:
                continue
            figure = self._figure(key, zoo, title, names[0], metric)
            if figure:
                return figure
        return None

    def find_average(
        self,
        zoo: str | None,
        title: str,
        sets: list[list[str]],
        metric: str,
    ) -> Figure | None:
        """Return the printed average of a method, from a table that has exactly these sets.

        `sets` has the names of each set; the other arguments are those of `find`. None if no table
        fits.
        """
        ours = [set(map(plain, names)) for names in sets]
        for key, table in self.tables.items():
            if not table.average or not self._has_sets(table, ours):
                continue
            figure = self._figure(key, zoo, title, table.average, metric)
            if figure:
                return figure
        return None

    def _has_sets(self, table: PublishedTable, sets: list[set[str]]) -> bool:
        """Return whether the sets of `table`, its average aside, are those with these spellings."""
        theirs = [self._spellings(name) for name in table.sets if name != table.average]
        if len(sets) != len(theirs):
            return False
        for ours in sets:
            is_known = any(ours & spellings for spellings in theirs)
            if not is_known:
                return False
        return True

    def names(self, table: PublishedTable) -> list[set[str]]:
        """Return the spellings of each set of a table, as `plain` gives them."""
        return [self._spellings(name) for name in table.sets]

    def _figure(
        self,
        key: str,
        zoo: str | None,
        title: str,
        name: str,
        metric: str,
    ) -> Figure | None:
        table = self.tables[key]
        methods = [method for method in table.rows if self._is_method(method, zoo, title)]
        metrics = [printed for printed in table.metrics if metric in self.metrics[printed].keys]
        if not methods or not metrics:
            return None
        method = methods[0]
        printed_metric = metrics[0]
        return Figure(
            value=table.value(method, name, printed_metric),
            digits=self.metrics[printed_metric].digits,
            count=self.sets[name].count,
            method=method,
            paper=table.paper,
            table=key,
            set=name,
            metric=printed_metric,
        )

    def _is_method(self, name: str, zoo: str | None, title: str) -> bool:
        if not zoo:
            return plain(name) == plain(title)
        # A method that is not listed has no row in the zoo.
        if name not in self.methods:
            return False
        return any(fnmatch(zoo, pattern) for pattern in self.methods[name].zoo)

    def _spellings(self, name: str) -> set[str]:
        spellings = [name, *self.sets[name].names]
        return {plain(spelling) for spelling in spellings}


@lru_cache
def published() -> Published:
    """Return the content of `published.yml`, which is read once."""
    blocks = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return msgspec.convert(blocks, Published)


def plain(name: str) -> str:
    """Return a name without case, spaces and signs, so that names can be compared.

    `Snow100K-realistic` then equals `snow100k_realistic`. A + stays: it separates methods.
    """
    return re.sub(r"[^\w+]|_", "", name.casefold())


def average_mismatches(
    table: PublishedTable, digits: dict[str, int]
) -> Iterator[tuple[str, str, float, float]]:
    """Yield method, metric, printed average and mean, where rounding does not explain a difference.

    The mean is that of the figures of the other sets.
    """
    if not table.average:
        return
    sets = [name for name in table.sets if name != table.average]
    for method in table.rows:
        for metric in table.metrics:
            values = [table.value(method, name, metric) for name in sets]
            mean = fmean(values)
            printed = table.value(method, table.average, metric)
            # Half a unit of the last place of the average, and half a unit of the mean.
            rounding = 10 ** -digits[metric] + 1e-9
            if abs(mean - printed) > rounding:
                yield method, metric, printed, mean
