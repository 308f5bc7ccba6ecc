"""A project with a folder `basicsr` of its own: is it imported in place of BasicSR 1.4.2, or passed over?

Many projects keep a changed copy of an older BasicSR (RGT, MambaIR, NAFNet, Restormer). With an
`__init__.py` the copy goes before the installed package when Python starts in the project's root;
without one the installed package goes before the copy. Neither is what the user expects, so each
case is named.
"""

import importlib.util
import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

GUIDE = "docs/host.md, 'Moving a project that vendors BasicSR'"
_LOG = logging.getLogger("basicsr")


class VendoredError(ImportError):
    """A project's copy of BasicSR is imported in place of BasicSR 1.4.2, and lacks what this package needs."""


@contextmanager
def explained() -> Iterator[None]:
    """Raise VendoredError for any error in the block while a copy is imported as basicsr; warn if there is no error."""
    copy = imported_copy()
    try:
        yield
    except Exception as error:  # a copy of any age may fail in any way
        if copy is None:
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise VendoredError(
            f"{copy} is imported as basicsr; it is a copy in a project, not the installed BasicSR "
            f"1.4.2 ({reason}). "
            f"Move the project's own files into a package of another name ({GUIDE}), or start in "
            f"another folder"
        ) from None
    if copy:
        _warn(
            f"{copy} is imported as basicsr; it is a copy in a project, not the installed BasicSR "
            f"1.4.2: see {GUIDE}"
        )


def warn_of_unused() -> None:
    """Warn of copies in the current folder or on Python's path that the installed BasicSR goes before."""
    for copy in unused_copies():
        _warn(
            f"{copy} is not used: basicsr is the installed 1.4.2, so what the copy adds is unknown "
            f"here; see {GUIDE}"
        )


def imported_copy() -> Path | None:
    """Return the folder that Python imports as basicsr, unless it is the installed one."""
    used, installed = imported_folder(), installed_folder()
    return used if used and installed and used != installed else None


def unused_copies() -> list[Path]:
    """Return folders `basicsr` with Python files in the current folder and on Python's path, of which none is used."""
    places = [Path(place) for place in dict.fromkeys([os.getcwd(), *sys.path])]
    copies = dict.fromkeys(
        (place / "basicsr").resolve() for place in places if (place / "basicsr").is_dir()
    )
    known = (imported_folder(), installed_folder())
    return [copy for copy in copies if copy not in known and any(copy.rglob("*.py"))]


def imported_folder() -> Path | None:
    """Return the folder of the package basicsr that Python imports; None if there is none, or no __init__.py in it."""
    spec = importlib.util.find_spec("basicsr")
    return Path(spec.origin).resolve().parent if spec and spec.origin else None


def installed_folder() -> Path | None:
    """Return the folder of the installed basicsr; None if it is not installed, or in place (pip install -e)."""
    try:
        folder = Path(str(metadata.distribution("basicsr").locate_file("basicsr"))).resolve()
    except metadata.PackageNotFoundError:
        return None
    return folder if (folder / "__init__.py").is_file() else None


def _warn(text: str) -> None:
    """Log a warning once for all processes of a run: not in workers, and on rank 0 alone."""
    if multiprocessing.parent_process() is None and os.environ.get("RANK", "0") == "0":
        _LOG.warning(text)
