"""What papers published, from `published.yml`: to show beside our figures."""

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
    """How a metric is printed, and which metrics of a benchmark it is compared with."""

    better: Literal["higher", "lower"]
    digits: int
    keys: list[str]


class PublishedSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A test set: its heading, its number of images where it is known, and other spellings of its name."""

    title: str
    count: int | None = None
    names: list[str] = []


class PublishedMethod(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rows of the zoo (`*` stands for any text) that the figures of a method are compared with."""

    zoo: list[str]
    note: str = ""


class Doubt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure that does not go together with others of its table, and why."""

    method: str
    set: str
    metric: str
    note: str


class PublishedTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table: of each method (row) for each set its metrics, in the order of `sets` and `metrics`."""

    title: str
    paper: str
    sets: list[str]
    metrics: list[str]
    rows: dict[str, list[list[float]]]
    average: str = ""
    notes: str = ""
    doubtful: list[Doubt] = []
    method_notes: dict[str, str] = {}
    """What to know of the figures of one method in this table."""

    def value(self, method: str, name: str, metric: str) -> float:
        """One figure. Raises KeyError or ValueError for what the table does not have."""
        return self.rows[method][self.sets.index(name)][self.metrics.index(metric)]


class Figure(msgspec.Struct, frozen=True):
    """One published figure and where it comes from."""

    value: float
    digits: int
    count: int | None
    """Images that it was measured on, where that is known."""
    method: str
    paper: str
    """Key of the paper, as in `Published.papers`."""
    table: str
    """Key of the table."""
    set: str
    metric: str


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `published.yml`."""

    metrics: dict[str, PublishedMetric]
    sets: dict[str, PublishedSet]
    methods: dict[str, PublishedMethod]
    papers: dict[str, str]
    tables: dict[str, PublishedTable]

    def find(self, zoo: str | None, title: str, sets: Iterable[str], metric: str) -> Figure | None:
        """The figure of a method, by its row of the zoo or else by its title, on the set that has one of the names.

        `metric` is a key of a benchmark's metrics. None where nothing was published.
        """
        wanted = {plain(name) for name in sets}
        for key, table in self.tables.items():
            names = [name for name in table.sets if wanted & self._spellings(name)]
            if names and (figure := self._figure(key, zoo, title, names[0], metric)):
                return figure
        return None

    def find_average(
        self, zoo: str | None, title: str, sets: list[list[str]], metric: str
    ) -> Figure | None:
        """The printed average of a method over sets, each given by its names; None unless they are a table's sets."""
        ours = [{plain(name) for name in names} for names in sets]
        for key, table in self.tables.items():
            theirs = [self._spellings(name) for name in table.sets if name != table.average]
            same = len(ours) == len(theirs) and all(
                any(names & other for other in theirs) for names in ours
            )
            if (
                table.average
                and same
                and (figure := self._figure(key, zoo, title, table.average, metric))
            ):
                return figure
        return None

    def names(self, table: PublishedTable) -> list[set[str]]:
        """The spellings of each set of a table, as `plain` gives them."""
        return [self._spellings(name) for name in table.sets]

    def _figure(
        self, key: str, zoo: str | None, title: str, name: str, metric: str
    ) -> Figure | None:
        table = self.tables[key]
        methods = [method for method in table.rows if self._is_method(method, zoo, title)]
        metrics = [each for each in table.metrics if metric in self.metrics[each].keys]
        if not methods or not metrics:
            return None
        value, digits = table.value(methods[0], name, metrics[0]), self.metrics[metrics[0]].digits
        return Figure(
            value, digits, self.sets[name].count, methods[0], table.paper, key, name, metrics[0]
        )

    def _is_method(self, name: str, zoo: str | None, title: str) -> bool:
        known = self.methods.get(name)
        if zoo:
            return known is not None and any(fnmatch(zoo, pattern) for pattern in known.zoo)
        return plain(name) == plain(title)

    def _spellings(self, name: str) -> set[str]:
        return {plain(each) for each in (name, *self.sets[name].names)}


@lru_cache
def published() -> Published:
    """What the package knows of published figures."""
    return msgspec.convert(yaml.safe_load(FILE.read_text(encoding="utf-8")), Published)


def plain(name: str) -> str:
    """A name without case, spaces and signs, so that `Snow100K-realistic` is `snow100k_realistic`; + stays."""
    return re.sub(r"[^\w+]|_", "", name.casefold())


def average_mismatches(
    table: PublishedTable, digits: dict[str, int]
) -> Iterator[tuple[str, str, float, float]]:
    """Method, metric, printed average and mean of the other sets, where rounding does not explain that they differ.

    Every printed figure may be off by half a unit of its last place, the mean of them as well as
    the average.
    """
    for method in table.rows if table.average else ():
        for metric in table.metrics:
            mean = fmean(
                table.value(method, name, metric) for name in table.sets if name != table.average
            )
            printed = table.value(method, table.average, metric)
            if abs(mean - printed) > 10 ** -digits[metric] + 1e-9:
                yield method, metric, printed, mean
