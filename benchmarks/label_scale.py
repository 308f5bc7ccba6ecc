"""Rates and memory of the label commands on a large store.

    python benchmarks/label_scale.py [--rows 1000000] [--folder FOLDER]

It draws a store of ratings by two models, descriptions and failures, and runs each command in a
process of its own. Seconds, processor time, rows a second and the peak of the memory (RSS) are
those of the whole process with Python's start. Pages of the store that the system caches are part
of the RSS, up to the size of the store. `--only report show` measures these two alone.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from wxr_plugin.labels.rows import (
    Answer,
    Description,
    Failure,
    Rating,
    answer_key,
    content_hash,
    provenance_hash,
)
from wxr_plugin.labels.store import LabelStore

MODELS = [{"model": "llava-1.5-7b", "prompt": "visibility"}, {"model": "tiny", "prompt": "quality"}]


def answers(count: int, seed: int) -> Iterator[tuple[str, Answer]]:
    """Yield (kind, row): half of the rows are ratings, 2 % failures, the others descriptions."""
    rng = np.random.default_rng(seed)
    hashes = [provenance_hash(model) for model in MODELS]
    for number in range(count):
        key = f"rain/camera{number % 97:02d}/frame_{number // 4:08d}"
        content = content_hash(key.encode())
        time_stamp = 1.7e9 + number / 100
        rater = hashes[number % 2]
        if number % 50 == 0:
            yield "rating", Failure(f"{key}x", content, rater, "cut short", time=time_stamp)
        elif number % 4 < 2:
            logits = tuple(rng.normal(size=5).tolist())
            yield "rating", Rating(key, content, rater, 1 + 4 * rng.random(), logits, time_stamp)
        else:
            text = f"A wet street with {number} drops, and fog behind the houses on the left."
            yield "description", Description(key, content, rater, text, time_stamp)


def draw(path: Path, count: int, seed: int) -> None:
    """Write a store of `count` rows."""
    with LabelStore(path) as store:
        for model in MODELS:
            store.put_provenance(model)
        rows = answers(count, seed)
        store.put_rows(
            (
                answer_key(kind, row.key, row.content, row.provenance),
                msgspec.msgpack.encode(row),
            )
            for kind, row in rows
        )


def measure(title: str, rows: int, *words: object) -> None:
    """Run `wxr label` in a new process and print a line."""
    command = [sys.executable, "-m", "wxr_plugin", "label", *map(str, words)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = _wait(process)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{title} failed")
    rate = f"{rows / seconds:12,.0f} rows/s"
    busy = usage.ru_utime + usage.ru_stime
    memory = f"{usage.ru_maxrss / 1024:8.0f} MiB"
    print(f"{title:12} {seconds:7.1f} s {busy:7.1f} s of CPU {rate} {memory}", flush=True)


def _wait(process: subprocess.Popen) -> tuple[int, int, resource.struct_rusage]:
    pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return pid, status, usage


def run(folder: Path, count: int, only: list[str]) -> None:
    """Draw the stores and measure each command."""
    store = folder / "all.lmdb"
    start = time.perf_counter()
    draw(store, count, seed=0)
    seconds = time.perf_counter() - start
    size = (store / "data.mdb").stat().st_size / 2**20
    print(f"drew {count:,} rows in {seconds:.1f} s, {size:.0f} MiB on disk")
    parquet = folder / "labels.parquet"
    calls: list[tuple[str, tuple[object, ...]]] = [
        ("report", (store,)),
        ("show", (store, "--csv", folder / "rows.csv")),
        ("merge", (store, store, "-o", folder / "merged.lmdb")),
        ("export", (store, "-o", parquet)),
        ("import", (parquet, "-o", folder / "new.lmdb")),
    ]
    for name, words in calls:
        if not only or name in only:
            measure(name, count, name, *words)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--only", nargs="+", default=[], help="commands to measure (default: all)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        run(Path(folder), args.rows, args.only)


if __name__ == "__main__":
    main()
