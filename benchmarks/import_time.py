"""Time of imports and of the help, next to `import torch` in the same run.

    python benchmarks/import_time.py --rounds 5

Each line is a fresh interpreter. Rounds alternate between the lines, and the table has medians: of
the CPU's time, which a busy machine changes least, and of the elapsed time. "basicsr alone" is
BasicSR 1.4.2 with the one module that torchvision has dropped, without which it does not import.
"""

import argparse
import resource
import subprocess
import sys
import time
from statistics import median

BASICSR = """
import sys, types
from torchvision.transforms.functional import rgb_to_grayscale
module = types.ModuleType("torchvision.transforms.functional_tensor")
module.rgb_to_grayscale = rgb_to_grayscale
sys.modules[module.__name__] = module
import basicsr
"""
LINES = {
    "python": ["-c", ""],
    "import torch": ["-c", "import torch"],
    "basicsr alone": ["-c", BASICSR],
    "import wxr_plugin": ["-c", "import wxr_plugin"],
    "import wxr_plugin, basicsr": ["-c", "import wxr_plugin, basicsr"],
    "the same, all registries filled": [
        "-c",
        "import wxr_plugin; from basicsr.utils.registry import *; "
        "[list(r) for r in (ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, "
        "MODEL_REGISTRY)]",
    ],
    "wxr --help": ["-m", "wxr_plugin", "--help"],
    "wxr restore --help": ["-m", "wxr_plugin", "restore", "--help"],
}
REFERENCE = "import torch"


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Return CPU and elapsed seconds of one fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    elapsed = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, elapsed


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=LINES, default=[], help="lines to measure")
    args = parser.parse_args()
    # The others are compared with it.
    names = [name for name in LINES if not args.only or name in (REFERENCE, *args.only)]
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(args.rounds):
        for name in names:
            measured[name].append(seconds(LINES[name]))
    torch = median(cpu for cpu, _ in measured[REFERENCE])
    print(f"| {args.rounds} rounds | CPU s | elapsed s | CPU, of import torch |\n|---|---|---|---|")
    for name, pairs in measured.items():
        cpu = median(pair[0] for pair in pairs)
        elapsed = median(pair[1] for pair in pairs)
        print(f"| {name} | {cpu:.2f} | {elapsed:.2f} | {cpu / torch:.2f} |")


if __name__ == "__main__":
    main()
