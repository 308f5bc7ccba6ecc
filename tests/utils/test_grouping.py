"""Groups, and means by group and overall."""

import math
from statistics import fmean

import pytest

from wxr_plugin.utils.grouping import OVERALL, group_by, group_means, mean_without_nan

NAN = float("nan")
PAIRS = [("rain", 1.0), ("haze", 5.0), ("rain", 3.0), ("clear", 100.0), ("", 50.0)]


def test_groups_come_in_the_given_order_and_others_are_left_out():
    groups = group_by(["haze/1", "", "rain/1", "rain/2"], lambda name: name[:4], ("rain", "haze"))
    assert list(groups.items()) == [("rain", ["rain/1", "rain/2"]), ("haze", ["haze/1"])]


def test_groups_come_in_order_of_appearance_by_default():
    assert group_by([3, 2, 5, 4], lambda number: number % 2) == {1: [3, 5], 0: [2, 4]}
    assert list(group_by([3, 2], lambda number: number % 2)) == [1, 0]


def test_groups_that_do_not_occur_have_no_mean():
    assert group_means([("rain", 1.0)], ("rain", "haze")) == {"rain": 1.0}
    assert group_means([], ("rain", "haze")) == {} == group_means([])


def test_the_overall_mean_is_unweighted():
    means = group_means(PAIRS, ("rain", "haze", "snow"))
    assert list(means.items()) == [("rain", 2.0), ("haze", 5.0), (OVERALL, 3.5)]


def test_the_overall_mean_is_over_the_averaged_groups_only():
    means = group_means(PAIRS, ("rain", "haze", "clear"), averaged=("rain", "haze"))
    assert means == {"rain": 2.0, "haze": 5.0, "clear": 100.0, OVERALL: 3.5}
    assert OVERALL not in group_means(PAIRS, ("rain", "clear"), averaged=("rain", "haze"))


def test_nan_does_not_count_within_a_group_but_an_empty_group_makes_the_overall_mean_nan():
    assert group_means([("rain", 1.0), ("rain", NAN), ("haze", 3.0)])[OVERALL] == 2.0
    means = group_means([("rain", NAN), ("haze", 3.0)])
    assert math.isnan(means["rain"]) and math.isnan(means[OVERALL]) and means["haze"] == 3.0


def test_the_mean_of_a_group_can_be_another_function():
    pairs = [("rain", 1.0), ("rain", NAN), ("haze", 4.0), ("haze", 2.0)]
    assert math.isnan(group_means(pairs, mean=fmean)["rain"])
    assert group_means(pairs, mean=max)["haze"] == 4.0


@pytest.mark.parametrize("order", [1, -1])
def test_the_mean_does_not_depend_on_the_order(order):
    assert mean_without_nan([1e16, 1.0, NAN, -1e16][::order]) == 1 / 3
    assert math.isnan(mean_without_nan([NAN])) and math.isnan(mean_without_nan([]))
