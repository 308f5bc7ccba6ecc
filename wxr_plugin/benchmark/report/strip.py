"""One photo by all methods next to each other, as a figure for a paper."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wxr_plugin.benchmark.report.tables import title
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.benchmark.results_files import Row
from wxr_plugin.data.images.io import read_image
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import check_file

SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
COLUMNS = 4
"""Photos in a row of the figure at most."""
WIDTH = 2.4
"""Of each photo, in inches."""


class Panel(NamedTuple):
    """One photo of the figure."""

    title: str
    caption: str
    """Its figures; empty for the input and the ground truth without any."""
    file: Path


def write_strip(folder: str | Path, photo: str, output: str | Path) -> None:
    """Draw `photo` ("SET/IMAGE") by all methods of a benchmark into `output`, in their order.

    With the rows of an ablation as methods, it shows what each row adds. The input comes first
    and the ground truth last.

    Raises:
        WxrError: no such photo, or a suffix that is not in SUFFIXES.
    """
    output = Path(output)
    if output.suffix.lower() not in SUFFIXES:
        raise WxrError(f"--figure {output}: name a file of {', '.join(SUFFIXES)}")
    check_file(output)
    results = Results.read(folder)
    draw(panels(results, photo), output)


def panels(results: Results, photo: str) -> list[Panel]:
    """Return the panels of a photo: input, methods in their order, ground truth."""
    name, _, image = photo.partition("/")
    rows = {row.method: row for row in results.rows if (row.set, row.image) == (name, image)}
    if not rows:
        raise WxrError(f"--photo {photo}: {_fix(results, name)}")
    first = next(iter(rows.values()))
    panel_list = [Panel("Input", _figures(results, rows.get(INPUT)), results.folder / first.lq)]
    for method, row in rows.items():
        if method != INPUT and row.restored:
            file = results.folder / row.restored
            panel_list.append(Panel(title(results, method), _figures(results, row), file))
    if first.gt:
        panel_list.append(Panel("Ground truth", "", results.folder / first.gt))
    return panel_list


def draw(panel_list: Sequence[Panel], output: Path) -> None:
    """Draw the panels in rows of at most COLUMNS."""
    from matplotlib.figure import Figure

    images = [read_image(panel.file) for panel in panel_list]
    height, width = images[0].shape[:2]
    columns = min(len(images), COLUMNS)
    lines = math.ceil(len(images) / columns)
    size = (WIDTH * columns, lines * (WIDTH * height / width + 0.55))
    figure = Figure(figsize=size, layout="constrained")
    grid = np.ravel(figure.subplots(lines, columns))
    for axes in grid:
        axes.axis("off")
    for axes, panel, image in zip(grid, panel_list, images):
        axes.imshow(image)
        axes.set_title(panel.title, fontsize=9)
        if panel.caption:
            place = {"ha": "center", "va": "top", "transform": axes.transAxes}
            axes.text(0.5, -0.02, panel.caption, fontsize=7, **place)
    figure.savefig(output, dpi=150)


def _figures(results: Results, row: Row | None) -> str:
    """Return the finite values of a row's metrics, for a caption."""
    if row is None:
        return ""
    parts = []
    for key, metric in results.metrics.items():
        value = row.scores[key] if metric.of == "image" else math.nan
        if math.isfinite(value):
            parts.append(f"{metric.title or key} {value:.{metric.digits}f}")
    return ", ".join(parts[:3])


def _fix(results: Results, name: str) -> str:
    if name not in results.sets:
        return f"there is no set {name}; the benchmark has {', '.join(results.sets)}"
    images = list(dict.fromkeys(row.image for row in results.rows if row.set == name))
    return f"the set {name} has no such image, but for example {', '.join(images[:3])}"
