"""Bar and radar charts as SVG, drawn with matplotlib, for light and dark pages and for print.

Text and lines are in the colour of the text around the chart, series in the colours of the page.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0b6bcb", "#b3450a", "#157347", "#8a2a8f", "#8a6100", "#b3214f", "#0d6f7d", "#555b66")
"""Of the series, in their order; pages with a style of their own set them as --c0 to --c7."""
INK = "#010203"
"""Stands for the colour of the surrounding text while matplotlib draws."""
HATCHES = ("", "//", "..", "xx", "\\\\", "--", "++", "oo")
"""Patterns of the bars, so that series differ in grey print too."""
NAME_SPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
Values = Mapping[str, Sequence[float]]
"""Name of a series -> its values, one a group; NaN where there is none."""


def bar_chart(groups: Sequence[str], series: Values, title: str, unit: str = "") -> str:
    """Return grouped bars as an SVG element, the value above each bar.

    Args:
        groups: labels along the axis, such as data sets or degradations.
        series: bars of each group, such as methods.
        title: text above the chart.
        unit: label of the value axis.
    """
    width = 0.8 / max(len(series), 1)
    figure, axes = _figure(max(5.0, 0.5 + 0.32 * len(groups) * (len(series) + 1)), 3.2)
    top = max((abs(v) for row in series.values() for v in row if math.isfinite(v)), default=1.0)
    for number, (name, values) in enumerate(series.items()):
        places = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * width
        style: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "hatch": HATCHES[number % len(HATCHES)],
            "edgecolor": INK,
            "linewidth": 0.4,
        }
        axes.bar(places, values, width, label=name, **style)
        for place, value in zip(places, values):
            if math.isfinite(value):
                text = _short(value, top)
                axes.annotate(text, (place, value), ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(groups)), groups, rotation=20 if len(groups) > 4 else 0)
    axes.set_ylabel(unit)
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure, axes, title)


def radar_chart(axes_names: Sequence[str], series: Values, title: str) -> str:
    """Return a radar chart as an SVG element: an axis for each task, a line for each series.

    Values have to be in [0, 1], 1 being best, since the axes share one scale; see `scaled`.
    """
    angles = np.linspace(0, 2 * np.pi, len(axes_names), endpoint=False)
    figure, axes = _figure(5.0, 4.2, projection="polar")
    for number, (name, values) in enumerate(series.items()):
        closed = [*values, values[0]]
        colour = COLOURS[number % len(COLOURS)]
        line = ("-", "--", "-.", ":")[number // 2 % 4]
        axes.plot([*angles, angles[0]], closed, line, color=colour, label=name, marker="o", ms=3)
    axes.set_xticks(angles, axes_names)
    axes.set_ylim(0, 1.05)
    axes.set_yticks([0.25, 0.5, 0.75, 1.0], [])
    return _svg(figure, axes, title)


def scaled(values: Values, lower_is_better: bool = False) -> dict[str, list[float]]:
    """Return values mapped to [0, 1] in each group: 0.1 for the worst series, 1 for the best."""
    table = np.array(list(values.values()), float)
    table = -table if lower_is_better else table
    low, high = np.nanmin(table, 0), np.nanmax(table, 0)
    span = np.where(high > low, high - low, 1)
    # 0.1, so that the worst is not lost in the centre; NaN stays NaN.
    mapped = np.where(high > low, 0.1 + 0.9 * (table - low) / span, table - low + 1)
    return {name: row.tolist() for name, row in zip(values, mapped)}


def save_chart(svg: str) -> str:
    """Return a chart as the text of an SVG file of its own, black on a transparent ground."""
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return head + svg.replace("<svg ", f"<svg {NAME_SPACES} ", 1)


def _figure(width: float, height: float, **settings: Any) -> "tuple[Figure, Any]":
    # The class of figures without a window: pyplot would ask for a display and keep them all.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(min(width, 16), height), layout="constrained")
    axes = figure.add_subplot(**settings)
    axes.set_facecolor("none")
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.5)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(INK)
    return figure, axes


def _svg(figure: "Figure", axes: Any, title: str) -> str:
    """Return the drawn figure as an SVG element with the page's colours."""
    import matplotlib as mpl

    axes.set_title(title, fontsize=10, color=INK)
    axes.yaxis.label.set_color(INK)
    for text in axes.texts:
        text.set_color(INK)
    legend = figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_color(INK)
    stream = io.StringIO()
    # Text stays text, so that it can be selected and read aloud; fixed names give equal files.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    # Within a page an element needs neither name spaces nor the description of its maker.
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg ") :], flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    # matplotlib names each part, and a page may have several charts; what is used has a hash.
    used = set(re.findall(r"#(\w+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = svg.replace(INK, "currentColor")
    for number, colour in enumerate(COLOURS):
        svg = svg.replace(colour, f"var(--c{number}, {colour})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{_attribute(title)}" ', 1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def _short(value: float, top: float) -> str:
    """Return a value with about three digits, as many for all values up to `top`."""
    digits = max(0, 2 - max(0, math.floor(math.log10(top or 1))))
    return f"{value:.{digits}f}"
