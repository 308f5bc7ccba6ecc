"""The `*_arch.py`, `*_model.py`, … of a folder, which register their classes on import."""

import importlib
from importlib.util import find_spec
from pathlib import Path

FOLDERS = {
    "arch": (("wxr_plugin.archs", "_arch"), ("wxr_plugin.conditioning", "_network")),
    "dataset": (("wxr_plugin.data", "_dataset"),),
    "loss": (("wxr_plugin.losses", "_loss"),),
    "metric": (("wxr_plugin.metrics", "_metric"),),
    "model": (("wxr_plugin.models", "_model"),),
}
"""Name of a registry of BasicSR -> our packages with its entries, and the suffix of modules."""


def modules_of(kind: str) -> list[str]:
    """Return the names of our modules that register entries of a kind, such as "arch"."""
    return [name for folder in FOLDERS[kind] for name in module_names(*folder)]


def module_names(package: str, suffix: str) -> list[str]:
    """Return the modules of `package` whose file names end in `suffix`, such as `_arch`, sorted."""
    spec = find_spec(package)
    folders = spec.submodule_search_locations or () if spec else ()
    stems = [file.stem for folder in folders for file in Path(folder).glob(f"*{suffix}.py")]
    return [f"{package}.{stem}" for stem in sorted(stems)]


def import_all(package: str, folder: str, suffix: str) -> None:
    """Import each module of `package` whose file in `folder` ends in `suffix`, such as `_arch`.

    Importing a module registers its classes; the packages that `wxr new arch` writes call this.
    """
    files = Path(folder).glob(f"*{suffix}.py")
    for file in sorted(files):
        importlib.import_module(f"{package}.{file.stem}")
