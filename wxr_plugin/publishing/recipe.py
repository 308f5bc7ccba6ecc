"""Facts of a training for a model card: options without paths, data, measured values, pictures."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wxr_plugin.data.images.io import list_images
from wxr_plugin.options.nested import block
from wxr_plugin.utils.csv_text import read_dicts
from wxr_plugin.utils.grouping import mean_without_nan

MAX_PICTURES = 3
"""Photos of each set that a card shows."""
_OMITTED = ("experiments_root", "models", "training_states", "log", "visualization", "root")
"""Keys of `path` that BasicSR fills in."""
_NO_METRICS = ("iter", "image", "weather", "degradation")
"""Columns of a table of validation that describe the image."""
_RESULT = re.compile(r"(?P<image>.+)_(?P<iter>\d+)\.png")

Rows = list[tuple[str, str, str]]
"""Set, metric, value."""


def portable(options: Any) -> Any:
    """Return options in which absolute paths are reduced to their last part.

    A path shows the name of a user and the layout of a machine, and is of no use elsewhere.
    """
    if isinstance(options, Mapping):
        return {str(key): portable(item) for key, item in options.items() if key not in _OMITTED}
    if isinstance(options, list | tuple):
        return [portable(item) for item in options]
    if isinstance(options, str) and options.startswith(("/", "~")):
        return Path(options).name
    return options


def recipe_text(options: Mapping[str, Any]) -> str:
    """Return the option file of a training for others."""
    text = yaml.safe_dump(portable(options), sort_keys=False, allow_unicode=True, width=100)
    return "# The option file of the training; set the paths of your own data.\n" + text


def data_lines(options: Mapping[str, Any]) -> list[str]:
    """Return a line for each set of photos of a training."""
    lines = []
    for phase, dataset in block(options, "datasets").items():
        if not isinstance(dataset, Mapping):
            continue
        roots = []
        for key, value in dataset.items():
            if key.startswith("dataroot") and value:
                roots.append(f"{key} `{portable(value)}`")
        kind = dataset.get("type", "unknown type")
        lines.append(f"- {phase}: {dataset.get('name', phase)}, {kind}, {', '.join(roots)}")
    return [line.removesuffix(", ") for line in lines]


def validation_rows(experiment: Path) -> Rows:
    """Return the means of the last validation of each set, from validation/SET.csv."""
    rows: Rows = []
    for file in sorted((experiment / "validation").glob("*.csv")):
        table = list(read_dicts(file))
        if file.stem.endswith("_groups") or not table:
            continue
        last = table[-1].get("iter")
        values = [row for row in table if row.get("iter") == last]
        for metric in table[-1]:
            numbers = [number for row in values for number in _number(row.get(metric))]
            if metric not in _NO_METRICS and numbers:
                mean = mean_without_nan(numbers)
                rows.append((f"{file.stem} (iteration {last})", str(metric), f"{mean:.4f}"))
    return rows


def benchmark_table(folder: Path) -> str:
    """Return the first table of a benchmark's report.md; empty without one."""
    file = folder / "report.md"
    if not file.is_file():
        return ""
    table: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            table.append(line)
        elif table:
            break
    return "\n".join(table)


def pictures(
    experiment: Path, options: Mapping[str, Any]
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Yield name, restored image and input (None if it is not here) of the last validations."""
    roots = {}
    for dataset in block(options, "datasets").values():
        if isinstance(dataset, Mapping) and isinstance(dataset.get("dataroot_lq"), str):
            roots[dataset.get("name")] = Path(dataset["dataroot_lq"]).expanduser()
    for folder in sorted((experiment / "visualization").glob("*")):
        if folder.is_dir():
            yield from _of_set(folder, roots.get(folder.name))


def _of_set(folder: Path, root: Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    from wxr_plugin.data.images.photo import read_photo

    newest: dict[str, tuple[int, Path]] = {}
    for file in sorted(folder.rglob("*.png")):
        match = _RESULT.fullmatch(file.relative_to(folder).as_posix())
        if match and int(match["iter"]) >= newest.get(match["image"], (-1, file))[0]:
            newest[match["image"]] = (int(match["iter"]), file)
    for image, (_, file) in list(newest.items())[:MAX_PICTURES]:
        source = _input(root, image)
        before = read_photo(source).pixels if source else None
        yield f"{folder.name}_{image.replace('/', '_')}", read_photo(file).pixels, before


def _input(root: Path | None, image: str) -> Path | None:
    if root is None or not root.is_dir():
        return None
    for path in list_images(root):
        if path.relative_to(root).with_suffix("").as_posix() == image:
            return path
    return None


def _number(cell: Any) -> list[float]:
    try:
        return [float(cell)]
    except (TypeError, ValueError):
        return []
