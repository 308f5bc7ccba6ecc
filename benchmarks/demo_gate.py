"""The demo with another gate: the floor and the ceiling of what a rater can reach in its setting.

    python benchmarks/demo_gate.py -o gates/oracle --gate oracle
    python benchmarks/demo_gate.py -o gates/random --gate random --iterations 60

oracle: the PSNR to the hidden ground truth chooses the first pseudo-labels and decides the gate.
random: the hash of an image does. Everything else is the demo on its packaged photos, except that
the gate compares bare crops. The result is printed as the demo prints it.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from wxr_plugin.demo import page
from wxr_plugin.demo import run as demo
from wxr_plugin.utils.commands import run_command
from wxr_plugin.utils.files import write_text
from wxr_plugin.wresvlm.checking import load_run
from wxr_plugin.wresvlm.run import Run

GATES = Path(__file__).parent / "wresvlm_ladder"
"""Folder of the plug-in `gates`."""


def main() -> int:
    """Run the demo with the gate of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--gate", choices=("oracle", "random"), required=True)
    parser.add_argument("--iterations", type=int, default=200, metavar="N")
    parser.add_argument("--rate", type=float, default=5e-5, help="learning rate at the start")
    args = parser.parse_args()
    return run_command(parser.prog, lambda: measure(args))


def measure(args: argparse.Namespace) -> int:
    """Train and report, and print the result."""
    # Trainings are processes of their own, which have to find the plug-in too.
    paths = [str(GATES), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path.insert(0, str(GATES))
    output = args.output.resolve()
    photos = output / "photos"
    demo.write_photos(photos)
    settings = demo.Settings(args.iterations, args.iterations)
    file = demo.write_options(output / "runs" / args.gate, photos, None, settings)
    change(file, lambda opt: change_run(opt, args.gate, photos / "truth"))
    change(file.with_name("round.yml"), lambda opt: change_round(opt, args.gate))
    for name in ("supervised", "round"):
        change(file.with_name(f"{name}.yml"), lambda opt: change_rate(opt, args.rate))
    job = Run(load_run(file), say=lambda line: print(line, flush=True))
    job.make()
    stages = [stage.name for stage in job.stages if stage.name != "report"]
    print(page.text(page.read(job.settings, stages, demo.packaged_means(photos, output))))
    return 0


def change(file: Path, by: Any) -> None:
    """Change an option file in place."""
    opt = yaml.safe_load(file.read_text(encoding="utf-8"))
    by(opt)
    write_text(file, yaml.safe_dump(opt, sort_keys=False, allow_unicode=True))


def change_run(opt: dict[str, Any], gate: str, truth: Path) -> None:
    """Let the gate's rater vote and train; a panel needs two names."""
    block = {"type": "TruthRater", "truth": str(truth)}
    if gate == "random":
        block = {"type": "RandomRater"}
    opt["plugins"] = ["gates"]
    opt["raters"] = {"visibility": dict(block), "quality": dict(block)}
    opt["report"]["rater"] = None


def change_round(opt: dict[str, Any], gate: str) -> None:
    """Rate bare crops: a TruthRater knows nothing of their surroundings."""
    if gate == "oracle":
        opt["model_type"] = "TruthGateModel"
    opt["plugins"] = ["gates"]
    opt["datasets"]["train"]["real"]["context"] = 0
    opt["train"]["rating"]["context"] = 0


def change_rate(opt: dict[str, Any], rate: float) -> None:
    """Set the learning rate, and a tenth of it at the end."""
    opt["train"]["optim_g"]["lr"] = rate
    opt["train"]["scheduler"]["eta_min"] = rate / 10


if __name__ == "__main__":
    sys.exit(main())
