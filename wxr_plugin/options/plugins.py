"""Plug-ins: packages whose networks, losses, datasets, metrics and models a file may name."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from wxr_plugin.errors import OptionError
from wxr_plugin.options.checks.report import Report, suggest

GROUP = "wxr_plugin.plugins"


def import_plugins(opt: dict) -> None:
    """Import the packages of `opt['plugins']` and of the entry-point group GROUP.

    A package may be a folder of the current directory. Importing it again changes nothing.

    Raises:
        OptionError: some cannot be imported; the message names all of these, with the reasons.
    """
    report = Report("plugins")
    import_into(report, opt)
    if report.problems:
        raise OptionError("\n".join(map(str, report.problems)), tuple(report.problems))


def import_into(report: Report, opt: dict) -> None:
    """Import as `import_plugins` does, but add each failure to `report` instead of raising."""
    # A script's own folder is on sys.path, that of a console command is not.
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    names = opt.get("plugins") or []
    if not isinstance(names, list):
        names = []
    for index, name in enumerate(names):
        if not isinstance(name, str):  # the check of blocks reports it
            continue
        reason = failure(partial(importlib.import_module, name))
        if reason:
            fault = f"{name} cannot be imported: {reason}"
            report.add(("plugins", index), fault, _fix(name, reason))
    for entry in installed():
        reason = failure(entry.load)
        if reason:
            package = entry.dist.name if entry.dist else entry.value
            fault = f"the installed plug-in {entry.name} ({entry.value}) cannot be imported"
            report.add((), f"{fault}: {reason}", f"fix or uninstall {package}")


@cache
def installed() -> tuple[EntryPoint, ...]:
    """Return the entry points of GROUP, which are looked up once per process."""
    return tuple(entry_points(group=GROUP))


def failure(load: Callable[[], object]) -> str | None:
    """Return the error of `load()` in one line with its place; None if there was none."""
    try:
        load()
    except Exception as error:  # a plug-in may raise anything while it is imported
        message = " ".join(str(error).split())
        place = traceback.extract_tb(error.__traceback__)[-1]
        # The error of a missing module comes from importlib, a place that does not help.
        if "importlib" in place.filename:
            return f"{type(error).__name__}: {message}"
        return f"{type(error).__name__}: {message} ({place.filename}:{place.lineno})"
    return None


def _fix(name: str, reason: str) -> str:
    package = name.split(".")[0]
    if f"No module named '{package}'" not in reason:
        return "fix the package"
    near = suggest(package, _packages_here(), "")
    if near.startswith("did you"):
        return near
    return "install it, or start in the folder that contains it"


def _packages_here() -> list[str]:
    packages = [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
    modules = [path.stem for path in Path.cwd().glob("*.py")]
    return packages + modules
