"""Charts of figures over iterations."""

import re
from xml.etree import ElementTree

import pytest

from wxr_plugin.benchmark.report.lines import MOST, line_chart, thinned


def test_a_chart_has_a_line_for_each_series_and_says_its_ends():
    chart = line_chart({"a & b": [(0, 1.0), (100, 3.0)], "c": [(50, 2.0)], "none": []}, "loss")
    svg = ElementTree.fromstring(chart[chart.index("<svg") : chart.index("</svg>") + 6])
    text = "loss over iterations. a & b: 1 at iteration 0, 3 at 100; c: 2 at iteration 50, 2 at 50"
    assert svg.get("aria-label") == text
    assert len(svg.findall(".//polyline")) == 1 and len(svg.findall(".//circle")) == 1
    assert re.findall(r"</svg>(.*?)</li>", chart[chart.index("<ul") :]) == ["a &amp; b", "c"]


def test_higher_figures_lie_higher():
    chart = line_chart({"a": [(0, 1.0), (100, 3.0)]}, "loss")
    (first, last) = re.search(r'polyline points="(\S+) (\S+)"', chart).groups()
    assert float(first.split(",")[0]) < float(last.split(",")[0])
    assert float(first.split(",")[1]) > float(last.split(",")[1])


def test_there_is_no_chart_without_points():
    assert line_chart({}, "loss") == line_chart({"a": []}, "loss") == ""


@pytest.mark.parametrize("count", [1, MOST, 3 * MOST + 1])
def test_long_lines_are_averaged(count):
    points = [(number, float(number)) for number in range(count)]
    means = thinned(points)
    assert len(means) <= MOST and means[0][0] == means[0][1]
    assert means == sorted(set(means))
