"""Tests and speeds of the package on a GPU: one command of at most eight minutes.

    python -m benchmarks.gpu                            # on a CUDA device
    python -m benchmarks.gpu --parts rating wresvlm     # some parts
    python -m benchmarks.gpu --device cpu --size tiny   # that it runs; its figures mean nothing

docs/gpu.md explains the rows. Run it in the repository's root. It needs no network and no data:
weights are random, photos are those that scikit-image and scikit-learn ship. Each part runs in a
process of its own, the most important first, and is ended at its deadline; what does not fit into
the budget is skipped.
Everything that failed or was skipped is a row of the table. Exit code: 0 when all rows are figures,
1 when some failed, 2 when it cannot run here.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.gpu import rows
from benchmarks.gpu.machine import INFO
from benchmarks.gpu.parts import BUDGET, PARTS, Schedule, work


def main() -> int:
    """Run the parts, print the table and write the JSON; the exit code."""
    args = _parser().parse_args()
    if args.worker:
        return work(args)
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            "no CUDA device here; add --device cpu --size tiny to see that it runs", file=sys.stderr
        )
        return 2
    if args.device == "cpu" and args.size == "full":
        print("--size full is for a GPU and takes hours on a CPU; add --size tiny", file=sys.stderr)
        return 2
    with TemporaryDirectory() as folder:
        schedule = Schedule(Path(folder), args)
        try:
            for group in schedule.groups:
                schedule.run(group)
                _write(args, schedule)
        except KeyboardInterrupt:
            print("interrupted; the rows so far are kept", file=sys.stderr)
        print(rows.table(schedule.rows))
        _write(args, schedule)
    print(f"\n{schedule.seconds:.0f} s; {args.output}", file=sys.stderr)
    return int(any(row.status == "failed" for row in schedule.rows))


def _write(args: argparse.Namespace, schedule: Schedule) -> None:
    """Write the results so far as JSON, atomically."""
    info = schedule.folder / INFO
    content = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": sys.argv[1:],
        "size": args.size,
        "seconds": round(schedule.seconds, 1),
        **(json.loads(info.read_text(encoding="utf-8")) if info.exists() else {}),
        "rows": [vars(row) for row in schedule.rows],
    }
    half = args.output.with_name(f".{args.output.name}.tmp")
    half.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    half.replace(args.output)


def _parser() -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu", description=__doc__, formatter_class=style
    )
    parser.add_argument(
        "--size", choices=("full", "tiny"), default="full", help="tiny: only shows that it runs"
    )
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:1, … or cpu")
    parser.add_argument(
        "--budget", type=float, default=BUDGET, help=f"seconds for everything (default: {BUDGET})"
    )
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--parts", nargs="+", choices=names, default=names, metavar="PART", help=", ".join(names)
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("gpu.json"), help="JSON file (default: gpu.json)"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--deadline", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
