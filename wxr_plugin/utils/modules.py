"""Import of every `*_arch.py`, `*_model.py`, … of a folder, as BasicSR does with its own."""

import importlib
from pathlib import Path


def import_all(package: str, folder: str, suffix: str) -> None:
    """Import each module of `package` whose file in `folder` ends in `suffix`, such as `_arch`.

    Importing a module registers its classes.
    """
    files = Path(folder).glob(f"*{suffix}.py")
    for file in sorted(files):
        importlib.import_module(f"{package}.{file.stem}")
