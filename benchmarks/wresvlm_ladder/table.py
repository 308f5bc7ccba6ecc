"""Scores of the ladder's rows, as CSV, Markdown and a figure."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import cv2
import numpy as np
from filelock import FileLock
from photos import pairs_of
from rows import GATES, TITLES, row_before

from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.data.weather.synthesis import KINDS
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.utils.files import write_bytes, write_text

Scores = dict[str, float]
REAL_PHOTOS, REAL_SIDE = 24, 512
"""Limits of the real photos that are rated: number of each kind, and side in pixels."""


@contextmanager
def lock(file: Path) -> Iterator[None]:
    """Hold the lock of `file` during the block."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(file)):
        yield


def write(
    work: Path, rows: list[str], seeds: list[int], real: Path | None, judge: str | None
) -> None:
    """Score every row and seed; write scores.csv, table.md and ladder.png, and print the table."""
    results = {(row, seed): scores(work, row, seed, real, judge) for seed in seeds for row in rows}
    text = io.StringIO()
    columns = ["row", "seed", *next(iter(results.values()))]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for (row, seed), values in results.items():
        writer.writerow({"row": row, "seed": seed, **values})
    write_text(work / "scores.csv", text.getvalue())
    table = markdown(results, rows, seeds)
    write_text(work / "table.md", table)
    steps = [row for row in rows if row not in GATES]
    write_bytes(work / "ladder.png", figure(results, steps, seeds))
    print(table)


def markdown(scores: dict[tuple[str, int], Scores], rows: list[str], seeds: list[int]) -> str:
    """Return a Markdown line for each row: scores over the seeds, and the step from the row before.

    Scores are mean and standard deviation; the step is given for every seed.
    """
    names = list(next(iter(scores.values())))
    lines = [f"| row | {' | '.join(names)} | step |", "|---" * (len(names) + 2) + "|"]
    for number, row in enumerate(rows):
        cells = []
        for name in names:
            cells.append(_spread([scores[row, seed][name] for seed in seeds]))
        before = row_before(row, rows)
        steps = [scores[row, seed]["all"] - scores[before, seed]["all"] for seed in seeds]
        lines.append(
            f"| {TITLES[row]} | {' | '.join(cells)} | {_spread(steps, '+') if number else ''} |"
        )
    return "\n".join(lines) + "\n"


def figure(scores: dict[tuple[str, int], Scores], rows: list[str], seeds: list[int]) -> bytes:
    """Plot the PSNR over the rows as PNG: each seed as a dot, the mean as a line."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(8, 4), layout="constrained")
    axes = drawing.subplots()
    for name, colour in (("all", "tab:blue"), ("seen", "tab:orange")):
        means = []
        for row in rows:
            means.append(fmean(scores[row, seed][name] for seed in seeds))
        label = {"all": "held-out photos", "seen": "the unlabelled photos"}[name]
        axes.plot(range(len(rows)), means, color=colour, label=label)
        for seed in seeds:
            axes.plot(
                range(len(rows)),
                [scores[row, seed][name] for row in rows],
                "o",
                color=colour,
                alpha=0.4,
            )
    axes.set_xticks(range(len(rows)), [TITLES[row] for row in rows], rotation=20, ha="right")
    axes.set_ylabel("PSNR on the unseen family, dB")
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def scores(work: Path, row: str, seed: int, real: Path | None, judge: str | None) -> Scores:
    """Return the scores of one network; each part is cached next to it."""
    model = work / f"seed_{seed}" / "experiments" / f"{row}_2" / "models" / "net_g_latest.pth"
    parts: dict[str, Callable[[Restorer], Scores]] = {
        "psnr": partial(_psnr, work),
        "untoned": partial(_untoned, work),
    }
    if real and judge:
        parts["real"] = partial(_visibility, real, judge)
    joined: Scores = {}
    for name, measure in parts.items():
        file = model.with_name(f"scores_{name}.json")
        if not file.is_file():
            write_text(file, json.dumps(measure(Restorer.from_checkpoint(model))))
        joined |= json.loads(file.read_text(encoding="utf-8"))
    return joined


def _psnr(work: Path, restorer: Restorer) -> Scores:
    """Return scores of held-out photos by weather and overall, and of the unlabelled photos."""
    held = _means(restorer, work / "held_out" / "lq", work / "held_out" / "gt", psnr)
    seen = _means(restorer, work / "unlabelled", work / "truth", psnr)
    return {**held, "all": fmean(held.values()), "seen": fmean(seen.values())}


def _untoned(work: Path, restorer: Restorer) -> Scores:
    """Return the PSNR of held-out photos, with each channel's mean set to that of the truth."""
    held = _means(restorer, work / "held_out" / "lq", work / "held_out" / "gt", psnr_without_tone)
    return {"without tone": fmean(held.values())}


def _means(
    restorer: Restorer, lq: Path, gt: Path, measure: Callable[[np.ndarray, np.ndarray], float]
) -> Scores:
    values_of: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind, photo, truth in pairs_of(lq, gt):
        values_of[kind].append(measure(restorer.restore(photo), truth))
    return {kind: fmean(values) for kind, values in values_of.items()}


def psnr(restored: np.ndarray, truth: np.ndarray) -> float:
    """Return the PSNR in dB of two uint8 images."""
    error = restored.astype(np.float64) - truth
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def psnr_without_tone(restored: np.ndarray, truth: np.ndarray) -> float:
    """Return the PSNR in dB after each channel's mean error is subtracted.

    So a difference in brightness and colour of the whole image does not count.
    """
    error = restored.astype(np.float64) - truth
    return float(10 * np.log10(255**2 / np.mean((error - error.mean((0, 1))) ** 2)))


def _visibility(real: Path, judge: str, restorer: Restorer) -> Scores:
    """Return (r - 1) / 4 of the restored real photos by `judge`, the mean over weathers."""
    from wxr_plugin.options.vlm_specs import rater_options
    from wxr_plugin.vlm.rater import build_rater

    rater = build_rater(rater_options(judge))
    means = []
    for kind in KINDS:
        photos = [_shrunk(read_image(file)) for file in list_images(real / kind)[:REAL_PHOTOS]]
        restored = [restorer.restore(photo) for photo in photos]
        means.append(rater.rate(restored).rating.mean().item())
    return {"real": (fmean(means) - 1) / 4}


def _shrunk(photo: np.ndarray) -> np.ndarray:
    """Return `photo`, its longer side at most REAL_SIDE."""
    share = min(1.0, REAL_SIDE / max(photo.shape[:2]))
    return cv2.resize(photo, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def _spread(values: list[float], sign: str = "") -> str:
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):{sign}.2f}{spread}"
