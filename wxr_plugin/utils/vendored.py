"""Detection of a project's own folder `basicsr`, imported instead of BasicSR 1.4.2 or ignored.

Many projects keep a changed copy of an older BasicSR (RGT, MambaIR, NAFNet, Restormer). With an
`__init__.py` the copy precedes the installed package when Python starts in the root of the
project; without it the installed package precedes the copy. Users expect neither, so both cases are
reported.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GUIDE = "docs/host.md, 'Moving a project that vendors BasicSR'"
BUILD = "install --no-build-isolation --no-deps basicsr==1.4.2"
"""Arguments that build BasicSR; setuptools must be installed."""
INSTALL = (
    f"PYTHONPATH=$PWD/packaging/py313 pip {BUILD}",
    f"PYTHONPATH=$PWD/packaging/py313 uv pip {BUILD}",
)
"""Commands for a clone of this repository, of which either installs BasicSR on any Python."""
_LOG = logging.getLogger("basicsr")


class MissingBasicsrError(ImportError):
    """BasicSR is not installed."""


class VendoredError(ImportError):
    """A project's copy of BasicSR is imported instead of BasicSR 1.4.2 and does not work."""


@contextmanager
def explained() -> Iterator[None]:
    """Raise VendoredError for any error in the block if a copy is imported as basicsr.

    Without an error, log a warning about the copy. Without any basicsr, raise MissingBasicsrError,
    which names the commands that install it.
    """
    if imported_folder() is None:
        raise MissingBasicsrError(_missing())
    copy = imported_copy()
    try:
        yield
    except Exception as error:  # a copy of any age may fail in any way
        if copy is None:
            raise
        message = " ".join(str(error).split())
        reason = f"{type(error).__name__}: {message}"
        raise VendoredError(
            f"{copy} is imported as basicsr; it is a copy in a project, not the installed BasicSR "
            f"1.4.2 ({reason}). Move the project's own files into a package of another name "
            f"({GUIDE}), or start in another folder"
        ) from None
    if copy:
        _warn(
            f"{copy} is imported as basicsr; it is a copy in a project, not the installed BasicSR "
            f"1.4.2: see {GUIDE}"
        )


def _missing() -> str:
    lines = (
        "basicsr 1.4.2 is not installed; one of these, in a clone of wxr_plugin, installs it:",
        *INSTALL,
    )
    return "\n    ".join(lines)


def warn_of_unused() -> None:
    """Warn of copies in the current folder or on Python's path that are not imported."""
    for copy in unused_copies():
        _warn(
            f"{copy} is not used: basicsr is the installed 1.4.2, which lacks additions of the "
            f"copy; see {GUIDE}"
        )


def imported_copy() -> Path | None:
    """Return the folder that Python imports as basicsr, unless it is the installed one."""
    used, installed = imported_folder(), installed_folder()
    return used if used and installed and used != installed else None


def unused_copies() -> list[Path]:
    """Return folders `basicsr` that are not imported.

    Only folders with Python files, in the current folder or on Python's path, are considered.
    """
    places = [Path(place) / "basicsr" for place in (os.getcwd(), *sys.path)]
    # Two entries of the path may lead to the same folder.
    copies = dict.fromkeys(place.resolve() for place in places if place.is_dir())
    in_use = (imported_folder(), installed_folder())
    return [copy for copy in copies if copy not in in_use and any(copy.rglob("*.py"))]


def imported_folder() -> Path | None:
    """Return the folder of the package basicsr that Python imports.

    None if there is none, or if it has no __init__.py.
    """
    spec = importlib.util.find_spec("basicsr")
    if spec is None or not spec.origin:
        return None
    return Path(spec.origin).resolve().parent


def installed_folder() -> Path | None:
    """Return the folder of the installed basicsr; None if it is missing or installed with -e."""
    imported = imported_folder()
    # The usual case, without importlib.metadata, which is slow to import.
    if imported and any(imported.parent.glob("basicsr-*.dist-info")):
        return imported
    from importlib import metadata

    try:
        located = metadata.distribution("basicsr").locate_file("basicsr")
    except metadata.PackageNotFoundError:
        return None
    folder = Path(str(located)).resolve()
    return folder if (folder / "__init__.py").is_file() else None


def _warn(text: str) -> None:
    """Log a warning once per run: on rank 0 only, and not in data-loading workers."""
    import multiprocessing

    is_worker = multiprocessing.parent_process() is not None
    if not is_worker and os.environ.get("RANK", "0") == "0":
        _LOG.warning(text)
