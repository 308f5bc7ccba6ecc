"""Groups of items, such as weather types, and means of their values by group and overall."""

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from statistics import fmean
from typing import Any, TypeVar

T = TypeVar("T")
Group = TypeVar("Group", bound=Hashable)

OVERALL = "overall"
"""Key of the mean over the groups in the result of `group_means`."""


def group_by(
    items: Iterable[T], key: Callable[[T], Group], order: Sequence[Group] | None = None
) -> dict[Group, list[T]]:
    """Return the items of each group that occurs, keyed by group.

    Args:
        items: what is sorted; their order stays within a group.
        key: gives the group of an item.
        order: the groups in the order of the result; items of other groups are left out. None
            takes every group in the order in which it first occurs.
    """
    groups: dict[Group, list[T]] = {name: [] for name in order or ()}
    for item in items:
        name = key(item)
        if order is None or name in groups:
            groups.setdefault(name, []).append(item)
    return {name: group for name, group in groups.items() if group}


def mean_without_nan(values: Iterable[float]) -> float:
    """Return the mean of the `values` that are not NaN; NaN if none is left.

    The sum is exact, so the order of the values makes no difference.
    """
    numbers = [value for value in values if not math.isnan(value)]
    return fmean(numbers) if numbers else math.nan


def group_means(
    pairs: Iterable[tuple[Group, Any]],
    order: Sequence[Group] | None = None,
    averaged: Collection[Group] | None = None,
    mean: Callable[[list], float] = mean_without_nan,
) -> dict[Group | str, float]:
    """Return the mean of each group that occurs, then under OVERALL the mean of these means.

    The overall mean is unweighted: a group of many values counts as much as a group of few. It is
    NaN where the mean of an averaged group is NaN, and left out unless two groups are averaged.

    Args:
        pairs: group and value.
        order: groups in the order of the result, as `group_by` takes it.
        averaged: groups that the overall mean is taken over; all if None.
        mean: mean of the values of one group.
    """
    groups = group_by(pairs, lambda pair: pair[0], order)
    means: dict[Group | str, float] = {}
    for name, group in groups.items():
        means[name] = mean([value for _, value in group])
    parts = [value for name, value in means.items() if averaged is None or name in averaged]
    if len(parts) > 1:
        means[OVERALL] = fmean(parts)
    return means
