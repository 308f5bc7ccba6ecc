"""python -m wxr_plugin.mm.train CONFIG: run MMEngine's Runner on a config of MMagic or MMEngine.

    torchrun --nproc_per_node 2 -m wxr_plugin.mm.train CONFIG --launcher pytorch

Any other script that reads a config and starts a Runner works, too. mmagic's own, which `mim train`
calls, imports mmagic before it reads the config, so that the bridge comes too late.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from wxr_plugin.utils.commands import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Train and return the exit code; see `run_command`."""
    args = _parser().parse_args(argv)

    def train() -> None:
        Runner.from_cfg(read_config(args)).train()

    return run_command(args.config, train)


def read_config(args: argparse.Namespace) -> Config:
    """Return the config with the changes of the command line, after its `custom_imports`.

    Raises:
        WxrError: they include the bridge to mmagic, and mmagic cannot be imported.
        FileNotFoundError: there is no such file.
    """
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    config.launcher = args.launcher
    default = str(Path("work_dirs") / Path(args.config).stem)
    config.work_dir = args.work_dir or config.get("work_dir") or default
    if args.amp:
        config.optim_wrapper.update(type="AmpOptimWrapper", loss_scale="dynamic")
    if args.resume:
        config.resume = True
        # without a path the Runner takes the newest checkpoint of work_dir
        config.load_from = None if args.resume == "auto" else args.resume
    return config


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m wxr_plugin.mm.train", description="Train with MMEngine's Runner."
    )
    parser.add_argument("config", help="config file of MMEngine or MMagic")
    parser.add_argument(
        "--work-dir",
        help="folder of logs and checkpoints (default: that of the config, or work_dirs/CONFIG)",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="resume from CHECKPOINT, or from the newest one",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE", help="change the config"
    )
    parser.add_argument(
        "--amp",
        action="store_true",
        help="mixed precision, on a GPU: optim_wrapper AmpOptimWrapper",
    )
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none")
    # torch.distributed.launch passes it
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
