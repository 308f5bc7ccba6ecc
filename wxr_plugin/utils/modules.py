"""Importing every `*_arch.py`, `*_model.py`, … of a folder, as BasicSR does with its own."""

import importlib
from pathlib import Path


def import_all(package: str, folder: str, suffix: str) -> None:
    """Import each module of `package` whose file in `folder` ends in `suffix` (say `_arch`), so that it registers."""
    for file in sorted(Path(folder).glob(f"*{suffix}.py")):
        importlib.import_module(f"{package}.{file.stem}")
