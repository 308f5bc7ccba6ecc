"""Charts of quality against time as SVG."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wxr_plugin.benchmark.report.tables import title
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.utils.html import escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 48
COLOURS = 8
"""Number of colours, the classes p0, p1 … of the page's styles.

Methods are distinguished by the number next to each point, so colours may repeat."""
_LOG_FROM = 8
"""The axis is logarithmic if the largest time is more than this many times the smallest."""
_AROUND = (
    (10, -8),
    (10, 14),
    (-10, -8),
    (-10, 14),
    (0, -12),
    (0, 20),
    (16, 4),
    (-16, 4),
)
"""Offsets (x, y) in pixels of a number from its point, in order of preference."""


class Point(NamedTuple):
    """One method: its number in the legend, seconds per megapixel, and quality."""

    number: int
    name: str
    seconds: float
    quality: float


class Axis(NamedTuple):
    """Ticks as value and label, and the ends of the axis."""

    ticks: list[tuple[float, str]]
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return the place of `value` on the axis: 0 at the low end, 1 at the high end."""
        ends = (self.low, self.high, value)
        low, high, value = map(math.log10, ends) if self.log else ends
        return (value - low) / (high - low)


def numbers(results: Results) -> dict[str, int]:
    """Return the methods that were timed, with their numbers in the legend."""
    timed = [
        name
        for name in results.methods
        if name != INPUT and results.seconds_per_megapixel(name) > 0
    ]
    return {name: number for number, name in enumerate(timed, 1)}


def scatters(results: Results) -> Iterator[str]:
    """Yield a chart for each metric: its average over the sets against seconds per megapixel.

    A metric is averaged over those sets on which any method has a value of it.
    """
    for key, metric in results.metrics.items():
        sets = [name for name in results.sets if results.applies(name, key)]
        points = _points_of(results, sets, key) if sets else []
        if points:
            baseline = results.average(INPUT, sets, key) if INPUT in results.methods else math.nan
            label = f"{metric.title or key} ({metric.better} is better)"
            yield scatter(points, label, baseline)


def _points_of(results: Results, sets: list[str], key: str) -> list[Point]:
    points = []
    for name, number in numbers(results).items():
        quality = results.average(name, sets, key)
        if math.isfinite(quality):
            seconds = results.seconds_per_megapixel(name)
            points.append(Point(number, title(results, name), seconds, quality))
    return points


def scatter(points: Sequence[Point], label: str, baseline: float = math.nan) -> str:
    """Return the chart of one metric as SVG.

    Args:
        points: at least one method.
        label: title of the vertical axis.
        baseline: quality of the input photos, drawn as a line unless it is NaN.
    """
    times = [point.seconds for point in points]
    wide = max(times) > _LOG_FROM * min(times)
    across = log_axis(min(times), max(times)) if wide else linear_axis(0, max(times))
    values = [point.quality for point in points]
    if math.isfinite(baseline):
        values.append(baseline)
    up = linear_axis(min(values), max(values))
    # A screen reader reads this in place of the picture.
    texts = []
    for point in points:
        texts.append(f"{point.name}: {point.quality:.4g} at {point.seconds:.3g} s")
    description = escape(f"{label} against time. {'; '.join(texts)}")
    lines = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{description}">']
    lines += _grid(across, up, label)
    if math.isfinite(baseline):
        lines += _baseline(_y(up, baseline))
    lines += _points(points, across, up)
    return "\n".join([*lines, "</svg>"])


def _baseline(y: float) -> Iterator[str]:
    right = WIDTH - RIGHT
    yield f'<line class="input" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield f'<text x="{right - 2}" y="{y - 4:.1f}" text-anchor="end">input</text>'


def linear_axis(low: float, high: float) -> Axis:
    """Return an axis with four to nine round ticks that contains both ends, with a margin."""
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    low = 0.0 if low == 0 else low - room
    high += room
    # The step is 1, 2 or 5 times a power of ten: the largest that leaves three steps or more.
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(by for by in (5, 2, 1) if (high - low) / (step * by) >= 3)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    values = [number * step for number in range(first, last + 1)]
    ticks = [(value, f"{value:.{digits}f}") for value in values]
    return Axis(ticks, low, high)


def log_axis(low: float, high: float) -> Axis:
    """Return a logarithmic axis with ticks at powers of ten, and at 2 and 5 where there is room."""
    low /= 1.3
    high *= 1.3
    first = math.floor(math.log10(low))
    last = math.ceil(math.log10(high))
    steps = (1, 2, 5) if high < 2000 * low else (1,)
    values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    ticks = [(value, f"{value:.6g}") for value in values if low <= value <= high]
    return Axis(ticks, low, high, log=True)


def _grid(across: Axis, up: Axis, label: str) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value, text in across.ticks:
        x = _x(across, value)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>'
    for value, text in up.ticks:
        y = _y(up, value)
        yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    title_across = "seconds per megapixel" + (", log scale" if across.log else "")
    place = f'x="{(LEFT + right) / 2}" y="{HEIGHT - 10}"'
    yield f'<text {place} text-anchor="middle">{title_across}</text>'
    place = f'transform="translate(14 {(TOP + bottom) / 2}) rotate(-90)"'
    yield f'<text {place} text-anchor="middle">{escape(label)}</text>'


def _points(points: Sequence[Point], across: Axis, up: Axis) -> Iterator[str]:
    places = [(_x(across, point.seconds), _y(up, point.quality)) for point in points]
    taken = list(places)
    for point, (x, y) in zip(points, places):
        number_x, number_y = _free_place(x, y, taken)
        taken.append((number_x, number_y))
        text = f"{point.name}: {point.quality:.4g}, {point.seconds:.3g} s per megapixel"
        yield f'<g class="p{(point.number - 1) % COLOURS}"><title>{escape(text)}</title>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>'
        place = f'x="{number_x:.1f}" y="{number_y + 4:.1f}"'
        yield f'<text {place} text-anchor="middle">{point.number}</text></g>'


def _free_place(x: float, y: float, taken: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the centre of the number of the point (x, y), far from other points and numbers."""
    places = [(x + right, y + down - 4) for right, down in _AROUND]
    inside = [place for place in places if _is_inside(*place)]
    obstacles = [place for place in taken if place != (x, y)]

    def distance(place: tuple[float, float]) -> float:
        # From 16 pixels on, a number overlaps nothing: then the order of _AROUND decides.
        distances = [math.dist(place, obstacle) for obstacle in obstacles]
        return min([*distances, 16.0])

    return max(inside or places, key=distance)


def _is_inside(x: float, y: float) -> bool:
    inside_across = LEFT + 6 < x < WIDTH - 6
    return inside_across and 8 < y < HEIGHT - BOTTOM - 6


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
