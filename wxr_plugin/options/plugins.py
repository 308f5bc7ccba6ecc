"""Third-party packages whose networks, losses, datasets, metrics and models an option file may name."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from wxr_plugin.errors import OptionError
from wxr_plugin.options.checks.report import Report, suggest

GROUP = "wxr_plugin.plugins"


def import_plugins(opt: dict) -> None:
    """Import the packages that `opt['plugins']` names and those of the entry-point group `wxr_plugin.plugins`.

    A package may lie in the current directory. Importing it again changes nothing.

    Raises:
        OptionError: some could not be imported; the message names all of them, with the reasons.
    """
    report = Report("plugins")
    import_into(report, opt)
    if report.problems:
        raise OptionError("\n".join(map(str, report.problems)), tuple(report.problems))


def import_into(report: Report, opt: dict) -> None:
    """As `import_plugins`, adding each failure to `report` instead of raising."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    names = opt.get("plugins") or []
    for index, name in enumerate(names if isinstance(names, list) else []):
        if isinstance(name, str):
            problem = failure(lambda name=name: importlib.import_module(name))
            if problem:
                report.add(
                    ("plugins", index),
                    f"{name} cannot be imported: {problem}",
                    _mend(name, problem),
                )
    for entry in installed():
        problem = failure(entry.load)
        if problem:
            package = entry.dist.name if entry.dist else entry.value
            what = (
                f"the installed plug-in {entry.name} ({entry.value}) cannot be imported: {problem}"
            )
            report.add((), what, f"mend or uninstall {package}")


@cache
def installed() -> tuple[EntryPoint, ...]:
    """The entry points of the group `wxr_plugin.plugins`; looked up once a process."""
    return tuple(entry_points(group=GROUP))


def failure(load: Callable[[], object]) -> str | None:
    """Why `load()` raised, in one line with the place; None if it did not."""
    try:
        load()
    except Exception as error:  # a plug-in may raise anything while it is imported
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if "importlib" in place.filename else f" ({place.filename}:{place.lineno})"
        return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
    return None


def _mend(name: str, problem: str) -> str:
    if f"No module named '{name.split('.')[0]}'" not in problem:
        return "mend the package"
    near = suggest(name.split(".")[0], _packages_here(), "")
    otherwise = "install it, or start where it lies: it may be a package of the current directory"
    return near if near.startswith("did you") else otherwise


def _packages_here() -> Iterable[str]:
    folders = [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
    return [*folders, *(path.stem for path in Path.cwd().glob("*.py"))]
