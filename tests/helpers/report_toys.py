"""A benchmark folder as `wxr benchmark` writes it, with drawn photos, for tests of the report."""

import csv
import json
import math
from pathlib import Path

import numpy as np

from wxr_plugin.data.images.io import write_image

METRICS = {
    "psnr": {
        "title": "PSNR (RGB)",
        "better": "higher",
        "needs_gt": True,
        "digits": 2,
        "of": "image",
    },
    "lpips": {"title": "LPIPS", "better": "lower", "needs_gt": True, "digits": 3, "of": "image"},
    "fid": {"title": "FID", "better": "lower", "needs_gt": True, "digits": 2, "of": "set"},
    "musiq": {"title": "MUSIQ", "better": "higher", "needs_gt": False, "digits": 2, "of": "image"},
}
SETS = {
    "rain100h": {"title": "Rain100H", "task": "rain", "lq": "lq", "gt": "gt", "count": 3},
    "pairs_haze": {"title": "Haze pairs", "task": "haze", "lq": "lq", "gt": "gt", "count": 2},
    "rtts": {"title": "RTTS", "task": "haze", "lq": "lq", "gt": None, "count": 2},
    "realrain": {"title": "RealRain", "task": "rain", "lq": "lq", "gt": None, "count": 2},
}
METHODS = {
    "input": ("Input", None),
    "promptir": ("PromptIR", "promptir-all-in-one"),
    "mine": ("My <b>net</b> & co_1", None),
}
PROTOCOL = {
    "colour": "RGB",
    "crop": "0",
    "precision": "fp32",
    "tile": "512",
    "overlap": "32",
    "versions": "v1",
}
COLUMNS = [
    "method",
    "set",
    "image",
    "lq",
    "gt",
    "restored",
    "width",
    "height",
    "seconds",
    "peak_mib",
    "error",
]


def photo(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Draw a scene of sky, ground, a disc and noise; return uint8 RGB (H, W, 3)."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:height, :width] / (height, width)[0]
    image = np.stack(
        [0.35 + 0.4 * (1 - down), 0.5 + 0.2 * across / across.max(), 0.8 - 0.6 * down], -1
    )
    image[np.hypot(down - 0.4, across - rng.uniform(0.3, 1.0)) < 0.2] = rng.uniform(0.2, 1, 3)
    return (255 * np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1)).astype(np.uint8)


def value(metric: str, order: int, place: int) -> float:
    """Return the value of a method: the second is best in PSNR, the third in LPIPS and MUSIQ."""
    base = {"psnr": (18.0, 25.0, 24.5), "lpips": (0.4, 0.20, 0.15), "musiq": (40.0, 50.0, 55.0)}[
        metric
    ]
    return (*base, *base)[order] + 0.01 * place


def write_benchmark(
    folder: Path, methods: dict = METHODS, sets: dict = SETS, metrics: dict = METRICS, **facts
) -> Path:
    """Write a whole benchmark into `folder`; `facts` go into benchmark.json."""
    rows = [row for name in sets for row in _rows(folder, methods, name, sets[name], metrics)]
    write_rows(folder, rows, metrics)
    fid = [
        [name, key, "fid", 60.0 - 9 * place, sets[key]["count"]]
        for place, name in enumerate(methods)
        for key in sets
        if sets[key]["gt"]
    ]
    _write_csv(
        folder / "sets.csv",
        ["method", "set", "metric", "value", "count"],
        fid if "fid" in metrics else [],
    )
    write_facts(folder, methods, sets, metrics, **facts)
    return folder


def write_facts(
    folder: Path, methods: dict = METHODS, sets: dict = SETS, metrics: dict = METRICS, **facts
) -> None:
    """Write benchmark.json."""
    content = {
        "name": "toy <benchmark>",
        "options": {},
        "versions": {"torch": "2.9", "pyiqa": "0.1"},
        "device": "cpu, 1 threads",
        "methods": {name: _method(name, *labels) for name, labels in methods.items()},
        "sets": sets,
        "metrics": metrics,
    }
    (folder / "benchmark.json").write_text(json.dumps(content | facts), encoding="utf-8")


def write_rows(folder: Path, rows: list[dict], metrics: dict = METRICS) -> None:
    """Write rows.csv."""
    columns = [
        *COLUMNS,
        *(key for key, metric in metrics.items() if metric["of"] == "image"),
        "checkpoint_sha256",
        *PROTOCOL,
    ]
    lines = []
    for row in rows:
        lines.append([row.get(key, "") for key in columns])
    _write_csv(folder / "rows.csv", columns, lines)


def read_rows(folder: Path) -> list[dict]:
    """Return the rows of rows.csv as dicts."""
    with (folder / "rows.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _rows(folder: Path, methods: dict, name: str, test_set: dict, metrics: dict) -> list[dict]:
    rows = []
    for place in range(test_set["count"]):
        scene, image = photo(place), f"{place + 9}"
        lq, gt = folder / f"data/{name}/lq/{image}.png", folder / f"data/{name}/gt/{image}.png"
        write_image(lq, (scene * 0.7 + 60).astype(np.uint8))
        if test_set["gt"]:
            write_image(gt, scene)
        for order, method in enumerate(methods):
            restored = f"images/{method}/{name}/{image}.png"
            write_image(folder / restored, (scene * (0.8 + 0.1 * order)).astype(np.uint8))
            row = {
                "method": method,
                "set": name,
                "image": image,
                "lq": lq,
                "gt": gt if test_set["gt"] else "",
            }
            row |= {
                "restored": restored,
                "width": 64,
                "height": 48,
                "checkpoint_sha256": f"{order}" * 64,
                **PROTOCOL,
            }
            row |= (
                {}
                if method == "input"
                else {"seconds": 0.003072 * 10**order, "peak_mib": 100 * order + place}
            )
            shown = [
                key
                for key, metric in metrics.items()
                if metric["of"] == "image" and (test_set["gt"] or not metric["needs_gt"])
            ]
            rows.append(row | {key: value(key, order, place) for key in shown})
    return rows


def _method(name: str, title: str, zoo: str | None) -> dict:
    network = (
        {}
        if name == "input"
        else {"checkpoint": f"{name}.pth", "sha256": "ab" * 32, "parameters": 1_234_567}
    )
    settings = {
        "precision": "fp32",
        "tile": 512,
        "overlap": 32,
        "macs_per_megapixel": 5.5e10,
        "network": "MSBDN",
    }
    return {"title": title, "zoo": zoo, **network, **(settings if network else {})}


def _write_csv(file: Path, header: list[str], rows: list[list]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow(["" if _is_nan(cell) else cell for cell in row])


def _is_nan(cell: object) -> bool:
    return isinstance(cell, float) and math.isnan(cell)
