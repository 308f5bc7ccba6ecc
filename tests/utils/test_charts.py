"""Charts: well-formed SVG in the colours of the page, and scaling of radar axes."""

import math
from xml.etree import ElementTree

import pytest

from wxr_plugin.utils.charts import COLOURS, INK, bar_chart, radar_chart, save_chart, scaled

GROUPS = ["hazy", "rainy", "snowy"]
SERIES = {"A & <b>": [0.5, 0.25, math.nan], "B": [1.0, 0.75, 0.5]}


def _texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(save_chart(svg))
    return ["".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("}text")]


def test_bars_name_groups_series_and_values():
    texts = _texts(bar_chart(GROUPS, SERIES, "Accuracy", "share"))
    assert {"Accuracy", "share", *GROUPS, *SERIES, "0.50", "0.25", "1.00"} <= set(texts)
    assert "nan" not in texts


def test_chart_takes_the_colours_of_its_page():
    svg = bar_chart(GROUPS, SERIES, "t")
    assert INK not in svg and "currentColor" in svg
    assert f"var(--c0, {COLOURS[0]})" in svg


def test_charts_are_reproducible():
    assert bar_chart(GROUPS, SERIES, "t") == bar_chart(GROUPS, SERIES, "t")


def test_radar_has_an_axis_for_each_group():
    texts = _texts(radar_chart(GROUPS, scaled(SERIES), "Radar"))
    assert {"Radar", *GROUPS, *SERIES} <= set(texts)


def test_scaled_puts_the_best_outside_in_both_directions():
    up = scaled({"a": [1.0, 5.0], "b": [3.0, 5.0]})
    assert up["a"] == pytest.approx([0.1, 1.0]) and up["b"] == pytest.approx([1.0, 1.0])
    down = scaled({"a": [1.0], "b": [3.0]}, lower_is_better=True)
    assert down["a"] == pytest.approx([1.0]) and down["b"] == pytest.approx([0.1])


def test_missing_values_stay_missing():
    assert math.isnan(scaled(SERIES)["A & <b>"][2])


def test_title_is_the_accessible_name():
    svg = bar_chart(GROUPS, SERIES, 'a "b" & c')
    assert 'role="img" aria-label="a &quot;b&quot; &amp; c"' in svg
