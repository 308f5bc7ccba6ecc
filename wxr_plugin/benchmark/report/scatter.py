"""Quality against time as SVG."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wxr_plugin.benchmark.report.tables import title
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.utils.html import escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 48
COLOURS = 8
"""Classes p0, p1 … of the page's styles; a number beside each point tells methods apart without colours."""
_LOG_FROM = 8
"""Largest by smallest time from which the axis is logarithmic."""
_AROUND = ((10, -8), (10, 14), (-10, -8), (-10, 14), (0, -12), (0, 20), (16, 4), (-16, 4))
"""Where a number may stand beside its point, tried in this order."""


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
        """0 at the low end, 1 at the high one."""
        low, high, value = (
            map(math.log10, (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        return (value - low) / (high - low)


def numbers(results: Results) -> dict[str, int]:
    """The methods that were timed, with their numbers in the legend."""
    timed = [
        name
        for name in results.methods
        if name != INPUT and results.seconds_per_megapixel(name) > 0
    ]
    return {name: number for number, name in enumerate(timed, 1)}


def scatters(results: Results) -> Iterator[str]:
    """A chart for each metric: its average over the sets that have it, against seconds per megapixel."""
    for key, metric in results.metrics.items():
        sets = [name for name in results.sets if results.applies(name, key)]
        points = [
            Point(
                number,
                title(results, name),
                results.seconds_per_megapixel(name),
                results.average(name, sets, key),
            )
            for name, number in numbers(results).items()
            if sets and math.isfinite(results.average(name, sets, key))
        ]
        if points:
            untouched = results.average(INPUT, sets, key) if INPUT in results.methods else math.nan
            arrow = "higher is better" if metric.better == "higher" else "lower is better"
            yield scatter(points, f"{metric.title or key} ({arrow})", untouched)


def scatter(points: Sequence[Point], label: str, untouched: float = math.nan) -> str:
    """The chart of one metric as SVG; `untouched` is the quality of the photos as they are, drawn as a line."""
    times = [point.seconds for point in points]
    across = (
        log_axis(min(times), max(times))
        if max(times) > _LOG_FROM * min(times)
        else linear_axis(0, max(times))
    )
    values = [point.quality for point in points] + ([untouched] if math.isfinite(untouched) else [])
    up = linear_axis(min(values), max(values))
    told = "; ".join(
        f"{point.name}: {point.quality:.4g} at {point.seconds:.3g} s" for point in points
    )
    lines = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{label} against time. {told}")}">'
    ]
    lines += _grid(across, up, label)
    if math.isfinite(untouched):
        y = _y(up, untouched)
        lines += [
            f'<line class="input" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        ]
        lines += [f'<text x="{WIDTH - RIGHT - 2}" y="{y - 4:.1f}" text-anchor="end">input</text>']
    lines += _points(points, across, up)
    return "\n".join([*lines, "</svg>"])


def linear_axis(low: float, high: float) -> Axis:
    """An axis with four to nine round ticks that holds both ends, with room beyond them."""
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    low, high = (0.0 if low == 0 else low - room), high + room
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(by for by in (5, 2, 1) if (high - low) / (step * by) >= 3)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(low / step - 1e-9)
    ticks = [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return Axis([(value, f"{value:.{digits}f}") for value in ticks], low, high)


def log_axis(low: float, high: float) -> Axis:
    """A logarithmic axis over whole decades with ticks at 1, and at 2 and 5 where there is room."""
    low, high = low / 1.3, high * 1.3
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high < 2000 * low else (1,)
    values = [step * 10.0**power for power in decades for step in steps]
    return Axis(
        [(value, f"{value:.6g}") for value in values if low <= value <= high], low, high, True
    )


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
    scale = ", log scale" if across.log else ""
    yield f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">seconds per megapixel{scale}</text>'
    middle = (TOP + bottom) / 2
    yield f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(label)}</text>'


def _points(points: Sequence[Point], across: Axis, up: Axis) -> Iterator[str]:
    places = [(_x(across, point.seconds), _y(up, point.quality)) for point in points]
    taken = list(places)
    for point, (x, y) in zip(points, places):
        where = _free(x, y, taken)
        taken.append(where)
        told = f"{point.name}: {point.quality:.4g}, {point.seconds:.3g} s per megapixel"
        yield f'<g class="p{(point.number - 1) % COLOURS}"><title>{escape(told)}</title>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>'
        yield f'<text x="{where[0]:.1f}" y="{where[1] + 4:.1f}" text-anchor="middle">{point.number}</text></g>'


def _free(x: float, y: float, taken: list[tuple[float, float]]) -> tuple[float, float]:
    """The middle of a number beside a point, as far as can be from points and numbers that are there."""
    places = [(x + right, y + down - 4) for right, down in _AROUND]
    inside = [
        each
        for each in places
        if LEFT + 6 < each[0] < WIDTH - 6 and 8 < each[1] < HEIGHT - BOTTOM - 6
    ]
    others = [each for each in taken if each != (x, y)]
    return max(
        inside or places,
        key=lambda each: min((min(math.dist(each, other), 16.0) for other in others), default=16.0),
    )


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
