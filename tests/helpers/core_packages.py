"""The distributions that `pip install wxr_plugin` needs, without extras."""

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed_by(*lines: str) -> dict[str, Distribution]:
    """Return the installed distributions that requirements need, recursively, keyed by name."""
    needed: dict[str, Distribution] = {}
    visited: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(line) for line in lines]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in visited:
            continue
        visited.add(key)
        try:
            needed[name] = distribution(name)
        except PackageNotFoundError:  # a build of torch for CPUs needs none of CUDA's packages
            continue
        todo += _requirements(needed[name], requirement.extras)
    return needed


def _requirements(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for line in package.requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def link(packages: dict[str, Distribution], folder: Path) -> None:
    """Link the modules of distributions into `folder`, as if nothing else were installed."""
    for package in packages.values():
        for source in _modules(package):
            target = folder / source.name
            # Several packages share a folder such as nvidia/.
            if source.exists() and not target.exists():
                target.symlink_to(source)


def _modules(package: Distribution) -> Iterator[Path]:
    """Yield the files and folders of a distribution in site-packages, also its metadata."""
    tops = {file.parts[0] for file in package.files or []}
    for top in tops - {"..", "__pycache__"}:
        yield Path(str(package.locate_file(top)))
