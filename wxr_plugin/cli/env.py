"""`wxr env`: versions, devices and paths, for reports of problems."""

import argparse
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from wxr_plugin import __version__
from wxr_plugin.cli.parsers import add_command
from wxr_plugin.utils.json_output import add_json, print_json
from wxr_plugin.utils.tables import print_pairs

PACKAGES = (
    "basicsr",
    "torch",
    "torchvision",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "pillow",
    "msgspec",
    "lmdb",
    "safetensors",
    "transformers",
    "open_clip_torch",
    "huggingface_hub",
    "mmengine",
    "mmagic",
    "spandrel",
    "pyiqa",
    "rich",
)
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "HF_HOME",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "WXR_MIRRORS",
    "NO_COLOR",
    "RANK",
    "WORLD_SIZE",
)
"""Environment variables that change the behaviour of commands; none of them is a secret."""

DESCRIPTION = """
Print the versions, devices, paths and settings that a report of a problem needs.
"""
EXAMPLES = """examples:
  wxr env
  wxr env --json > env.json
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `env` to the `wxr` command."""
    summary = "print versions, devices and paths for a report of a problem"
    parser = add_command(subparsers, "env", summary, run, DESCRIPTION, EXAMPLES)
    add_json(parser, "all of it")


def run(args: argparse.Namespace) -> int:
    """Print the facts as text or JSON; return 0."""
    sections = facts()
    if args.json:
        print_json(sections)
        return 0
    for title, section in sections.items():
        print_pairs(section.items(), f"{title}:")
    return 0


def facts() -> dict[str, dict[str, str]]:
    """Return section -> name -> value."""
    return {
        "system": _system(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
        "paths": _paths(),
        "plug-ins": _plugins(),
        "environment": {name: os.environ.get(name, "not set") for name in VARIABLES},
    }


def _system() -> dict[str, str]:
    return {
        "wxr_plugin": __version__,
        "commit": _commit(Path(__file__).parents[2]),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _commit(folder: Path) -> str:
    """Return the commit of a checkout, with + if files differ from it; "none" if installed."""
    if not (folder / ".git").exists():
        return "none (installed)"
    try:
        described = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown (git did not answer)"
    return described.stdout.strip() or "unknown"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> dict[str, str]:
    """Return the processors, or the reason if torch cannot be imported, for `wxr env`."""
    devices = {"cpu": f"{os.cpu_count()} cores"}
    try:
        import torch

        devices["threads"] = str(torch.get_num_threads())
        devices["cuda"] = torch.version.cuda or "this torch is built without CUDA"
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            devices[f"cuda:{index}"] = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    except Exception as error:  # a broken installation is what such a report is for
        devices["torch"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return devices


def _paths() -> dict[str, str]:
    hub = os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser()
    return {
        "package": str(Path(__file__).parents[1]),
        "python": sys.executable,
        "working directory": os.getcwd(),
        "weights": str(Path("experiments/pretrained_models").absolute()),
        "hub cache": str(hub),
    }


def _plugins() -> dict[str, str]:
    group: Any = metadata.entry_points(group="wxr_plugin.plugins")
    return {entry.name: entry.value for entry in group} or {"none": "-"}
