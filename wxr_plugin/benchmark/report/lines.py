"""Charts of figures over iterations as SVG."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from wxr_plugin.benchmark.report.scatter import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    linear_axis,
)
from wxr_plugin.utils.html import escape

MOST = 40
"""Points of a line, at most; more are averaged over stretches of equal number."""
DASHES = ("", "7 4", "2 4", "9 3 2 3")
"""Patterns of the lines, so that colours alone need not distinguish them."""

Point = tuple[float, float]
"""Iteration and value."""


def line_chart(lines: Mapping[str, Sequence[Point]], label: str) -> str:
    """Return a chart of figures over iterations with its legend, as HTML; empty without points.

    Args:
        lines: title -> points, by rising iteration.
        label: title of the vertical axis.
    """
    drawn = {title: thinned(points) for title, points in lines.items() if points}
    if not drawn:
        return ""
    points = [point for line in drawn.values() for point in line]
    last = max(iteration for iteration, _ in points)
    values = [value for _, value in points]
    across = linear_axis(0, last)
    up = linear_axis(min(values), max(values))
    svg = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_text(drawn, label)}">']
    svg += _grid(across, up, label)
    legend = []
    for number, (title, line) in enumerate(drawn.items()):
        svg.append(_line(title, line, number, across, up))
        legend.append(_legend_entry(title, number))
    svg.append("</svg>")
    drawing = "\n".join(svg)
    return f'<figure>{drawing}\n<ul class="legend">{"".join(legend)}</ul></figure>'


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most MOST points: means over stretches of points that follow each other."""
    count = -(-len(points) // MOST)
    means = []
    for first in range(0, len(points), count):
        stretch = points[first : first + count]
        iteration = fmean(point[0] for point in stretch)
        value = fmean(point[1] for point in stretch)
        means.append((iteration, value))
    return means


def _text(lines: Mapping[str, Sequence[Point]], label: str) -> str:
    """Return the first and the last figure of each line, for a screen reader."""
    texts = []
    for title, points in lines.items():
        (first, start), (last, end) = points[0], points[-1]
        texts.append(f"{title}: {start:.3g} at iteration {first:.0f}, {end:.3g} at {last:.0f}")
    return escape(f"{label} over iterations. {'; '.join(texts)}")


def _grid(across: Axis, up: Axis, label: str) -> Iterator[str]:
    bottom = HEIGHT - BOTTOM
    right = WIDTH - RIGHT
    for value, text in across.ticks:
        x = f"{_x(across, value):.1f}"
        yield f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{text}</text>'
    for value, text in up.ticks:
        y = _y(up, value)
        yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        # 4 pixels lower, so that the middle of the digits is level with the line.
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    middle = (LEFT + right) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">iteration</text>'
    # The title of the vertical axis reads upwards.
    place = f'transform="translate(14 {(TOP + bottom) / 2}) rotate(-90)"'
    yield f'<text {place} text-anchor="middle">{escape(label)}</text>'


def _line(title: str, points: Sequence[Point], number: int, across: Axis, up: Axis) -> str:
    places = [f"{_x(across, x):.1f},{_y(up, y):.1f}" for x, y in points]
    dashes = DASHES[number % len(DASHES)]
    line = f'<polyline points="{" ".join(places)}" stroke-dasharray="{dashes}"/>'
    if len(points) == 1:
        x, y = places[0].split(",")
        line = f'<circle cx="{x}" cy="{y}" r="4"/>'
    return f'<g class="p{number % COLOURS}"><title>{escape(title)}</title>{line}</g>'


def _legend_entry(title: str, number: int) -> str:
    dashes = DASHES[number % len(DASHES)]
    stroke = f'<line x1="0" x2="30" y1="5" y2="5" stroke-dasharray="{dashes}"/>'
    # The colour is the key's alone: the text of a legend has that of other texts.
    kind = f"key p{number % COLOURS}"
    key = f'<svg class="{kind}" viewBox="0 0 30 10" aria-hidden="true">{stroke}</svg>'
    return f"<li>{key}{escape(title)}</li>"


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    # y grows downwards in SVG.
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
