"""Write the mean of two trained tiny LLaVAs that share a vision tower's first training.

    python tools/tiny_llava_mean.py RUN_A RUN_B --out wxr_plugin/assets/tiny_llava

Both folders are as tools/train_tiny_llava.py writes them; the files other than the weights are
those of RUN_B. The mean of two runs from one start is often better than either (Wortsman et al.,
Model soups, ICML 2022).
"""

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


def mean(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> dict:
    """Return the mean of floating-point tensors, computed in float32; others of `first`."""
    return {
        name: ((value.float() + second[name].float()) / 2).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }


def main() -> None:
    """Read two models and write their mean."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    shutil.copytree(args.runs[1], args.out, dirs_exist_ok=True)
    weights = mean(*(load_file(run / WEIGHTS) for run in args.runs))
    save_file(weights, args.out / WEIGHTS, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
