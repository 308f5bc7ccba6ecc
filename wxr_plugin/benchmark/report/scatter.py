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
        low, high = self.low, self.high
        if self.log:
            low = math.log10(low)
            high = math.log10(high)
            value = math.log10(value)
        return (value - low) / (high - low)


def numbers(results: Results) -> dict[str, int]:
    """Return the methods that were timed, with their numbers in the legend."""
    methods = [name for name in results.methods if name != INPUT]
    # The time of a method that was not timed is NaN, which is not above 0.
    timed = [name for name in methods if results.seconds_per_megapixel(name) > 0]
    return {name: number for number, name in enumerate(timed, 1)}


def scatters(results: Results) -> Iterator[str]:
    """Yield a chart for each metric: its average over the sets against seconds per megapixel.

    A metric is averaged over those sets on which any method has a value of it.
    """
    for key, metric in results.metrics.items():
        sets = [name for name in results.sets if results.applies(name, key)]
        # The average over no set is undefined.
        if not sets:
            continue
        points = _points_of(results, sets, key)
        if not points:
            continue
        baseline = math.nan
        if INPUT in results.methods:
            baseline = results.average(INPUT, sets, key)
        label = f"{metric.title or key} ({metric.better} is better)"
        yield scatter(points, label, baseline)


def _points_of(results: Results, sets: list[str], key: str) -> list[Point]:
    points = []
    for name, number in numbers(results).items():
        quality = results.average(name, sets, key)
        # NaN: a set has no value of the method, so that its average cannot be compared.
        if math.isfinite(quality):
            seconds = results.seconds_per_megapixel(name)
            point = Point(
                number=number,
                name=title(results, name),
                seconds=seconds,
                quality=quality,
            )
            points.append(point)
    return points


def scatter(points: Sequence[Point], label: str, baseline: float = math.nan) -> str:
    """Return the chart of one metric as SVG.

    Args:
        points: at least one method.
        label: title of the vertical axis.
        baseline: quality of the input photos, drawn as a line unless it is NaN.
    """
    across = _time_axis(points)
    values = [point.quality for point in points]
    if math.isfinite(baseline):
        values.append(baseline)
    up = linear_axis(min(values), max(values))
    description = escape(_description(points, label))
    lines = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{description}">']
    lines += _grid(across, up, label)
    if math.isfinite(baseline):
        lines += _baseline(_y(up, baseline))
    lines += _points(points, across, up)
    lines.append("</svg>")
    return "\n".join(lines)


def _time_axis(points: Sequence[Point]) -> Axis:
    times = [point.seconds for point in points]
    shortest = min(times)
    longest = max(times)
    if longest > _LOG_FROM * shortest:
        return log_axis(shortest, longest)
    return linear_axis(0, longest)


def _description(points: Sequence[Point], label: str) -> str:
    """Return the figures as a text, which a screen reader reads in place of the picture."""
    texts = []
    for point in points:
        text = f"{point.name}: {point.quality:.4g} at {point.seconds:.3g} s"
        texts.append(text)
    figures = "; ".join(texts)
    return f"{label} against time. {figures}"


def _baseline(y: float) -> Iterator[str]:
    right = WIDTH - RIGHT
    yield _level_line("input", y)
    # Above the line, at its right end.
    yield f'<text x="{right - 2}" y="{y - 4:.1f}" text-anchor="end">input</text>'


def _level_line(kind: str, y: float) -> str:
    """Return a horizontal line over the whole chart, of the class `kind` of the page's styles."""
    ends = f'x1="{LEFT}" x2="{WIDTH - RIGHT}"'
    return f'<line class="{kind}" {ends} y1="{y:.1f}" y2="{y:.1f}"/>'


def linear_axis(low: float, high: float) -> Axis:
    """Return an axis with four to nine round ticks that contains both ends, with a margin."""
    margin = (high - low) * 0.08
    if not margin:  # equal ends
        margin = abs(high) * 0.05 or 1.0
    # An axis that starts at 0 needs no margin there.
    low = 0.0 if low == 0 else low - margin
    high += margin
    step = _round_step(high - low)
    # The logarithm of a power of ten may be off by rounding: 1e-9 brings it to the right side.
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    ticks = []
    for number in range(first, last + 1):
        value = number * step
        ticks.append((value, f"{value:.{digits}f}"))
    return Axis(ticks, low, high)


def _round_step(length: float) -> float:
    """Return the distance of ticks on an axis: 1, 2 or 5 times a power of ten.

    It is the largest that leaves three steps or more.
    """
    power = 10 ** math.floor(math.log10(length / 4))
    factors = (by for by in (5, 2, 1) if length / (power * by) >= 3)
    return power * next(factors)


def log_axis(low: float, high: float) -> Axis:
    """Return a logarithmic axis with ticks at powers of ten, and at 2 and 5 where there is room."""
    low /= 1.3
    high *= 1.3
    first = math.floor(math.log10(low))
    last = math.ceil(math.log10(high))
    # Over more than three powers of ten the labels would touch each other.
    steps = (1, 2, 5) if high < 2000 * low else (1,)
    ticks = []
    for power in range(first, last + 1):
        for step in steps:
            value = step * 10.0**power
            if low <= value <= high:
                ticks.append((value, f"{value:.6g}"))
    return Axis(ticks, low, high, log=True)


def _grid(across: Axis, up: Axis, label: str) -> Iterator[str]:
    bottom = HEIGHT - BOTTOM
    right = WIDTH - RIGHT
    for value, text in across.ticks:
        x = f"{_x(across, value):.1f}"
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{text}</text>'
    for value, text in up.ticks:
        y = _y(up, value)
        yield _level_line("grid", y)
        # 4 pixels lower, so that the middle of the digits is level with the line.
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    title_across = "seconds per megapixel"
    if across.log:
        title_across += ", log scale"
    middle_across = (LEFT + right) / 2
    place = f'x="{middle_across}" y="{HEIGHT - 10}"'
    yield f'<text {place} text-anchor="middle">{title_across}</text>'
    # The title of the vertical axis reads upwards.
    middle_up = (TOP + bottom) / 2
    place = f'transform="translate(14 {middle_up}) rotate(-90)"'
    yield f'<text {place} text-anchor="middle">{escape(label)}</text>'


def _points(points: Sequence[Point], across: Axis, up: Axis) -> Iterator[str]:
    places = []
    for point in points:
        x = _x(across, point.seconds)
        y = _y(up, point.quality)
        places.append((x, y))
    # Numbers avoid all points and the numbers that were drawn before.
    taken = list(places)
    for point, (x, y) in zip(points, places):
        number_x, number_y = _free_place(x, y, taken)
        taken.append((number_x, number_y))
        colour = (point.number - 1) % COLOURS
        text = f"{point.name}: {point.quality:.4g}, {point.seconds:.3g} s per megapixel"
        yield f'<g class="p{colour}"><title>{escape(text)}</title>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>'
        place = f'x="{number_x:.1f}" y="{number_y + 4:.1f}"'
        yield f'<text {place} text-anchor="middle">{point.number}</text></g>'


def _free_place(x: float, y: float, taken: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the centre of the number of the point (x, y), far from other points and numbers."""
    obstacles = [place for place in taken if place != (x, y)]
    places = []
    for right, down in _AROUND:
        # 4 pixels higher: texts stand on their y, and their middle counts here.
        place = (x + right, y + down - 4)
        places.append(place)
    inside = [place for place in places if _is_inside(*place)]

    def distance(place: tuple[float, float]) -> float:
        distances = [math.dist(place, obstacle) for obstacle in obstacles]
        # From 16 pixels on, a number overlaps nothing: then the order of _AROUND decides.
        distances.append(16.0)
        return min(distances)

    # Close to the ends of both axes no place may be inside.
    return max(inside or places, key=distance)


def _is_inside(x: float, y: float) -> bool:
    is_inside_across = LEFT + 6 < x < WIDTH - 6
    is_inside_down = 8 < y < HEIGHT - BOTTOM - 6
    return is_inside_across and is_inside_down


def _x(axis: Axis, value: float) -> float:
    width = WIDTH - LEFT - RIGHT
    return LEFT + axis.place(value) * width


def _y(axis: Axis, value: float) -> float:
    height = HEIGHT - TOP - BOTTOM
    # y grows downwards in SVG.
    return HEIGHT - BOTTOM - axis.place(value) * height
