"""The files of a new network: what they are called, what is in them, and that none is lost."""

import keyword
from importlib import resources
from pathlib import Path
from string import Template

from wxr_plugin.errors import WxrError
from wxr_plugin.utils import files

TEMPLATES = resources.files(__package__) / "templates"


class NewArchError(WxrError):
    """A name or a place in which no network can be made."""


def new_arch(name: str, root: Path, into: Path | None = None) -> dict[str, Path]:
    """Write a small network called `name` that can be trained at once, and what belongs to it.

    Args:
        name: the class, as an option file will name it; its files bear it in lower case.
        root: where this package's repository lies, unless `into` is given.
        into: the folder of a plug-in package, made where there is none.

    Returns:
        Kind -> file: arch and option; row in the repository; test and, where it was made, package
        in a plug-in.

    Raises:
        NewArchError: `name` is no class name, or taken; `root` is no repository; a file is there
            already. Nothing has been written then.
    """
    _check_name(name)
    places = _plugin_places(name, into) if into else _repository_places(name, root)
    taken = [str(place) for place in places.values() if place.exists()]
    if taken:
        raise NewArchError(
            f"{', '.join(taken)}: there already; nothing was written. Take another name"
        )
    words = _words(name, places, root, into)
    texts = {kind: Template(_template(kind)).substitute(words) for kind in places}
    for kind, text in texts.items():
        files.write_text(places[kind], text)
    return places


def _check_name(name: str) -> None:
    if (
        not name.isidentifier()
        or keyword.iskeyword(name)
        or not name.isascii()
        or name.startswith("_")
    ):
        raise NewArchError(
            f"{name!r} is no name of a Python class; take letters, digits and _, such as FrostNet"
        )
    from basicsr.utils.registry import ARCH_REGISTRY

    same = [
        known
        for known, _ in ARCH_REGISTRY
        if known.removesuffix("_basicsr").lower() == name.lower()
    ]
    if same:
        raise NewArchError(
            f"{name}: the network {same[0]} is registered already; take another name"
        )


def _repository_places(name: str, root: Path) -> dict[str, Path]:
    if not (root / "wxr_plugin" / "archs").is_dir():
        raise NewArchError(
            f"{root} is not the repository of wxr_plugin: start there, or say with --into in which "
            f"package of yours "
            "the network belongs"
        )
    return {
        "arch": root / "wxr_plugin" / "archs" / f"{name.lower()}_arch.py",
        "option": root / "options" / "train" / "baselines" / f"{name.lower()}.yml",
        "row": root / "wxr_plugin" / "zoo" / f"{name.lower()}.yml",
    }


def _plugin_places(name: str, into: Path) -> dict[str, Path]:
    if not into.resolve().name.isidentifier():
        raise NewArchError(
            f"{into}: a package's folder has a name that Python can import, such as my_networks"
        )
    if into.exists() and not into.is_dir():
        raise NewArchError(f"{into}: a file; --into names the folder of a package")
    places = {
        "arch": into / f"{name.lower()}_arch.py",
        "option": into / f"{name.lower()}.yml",
        "test": into / f"test_{name.lower()}.py",
    }
    return places if (into / "__init__.py").exists() else places | {"package": into / "__init__.py"}


def _words(name: str, places: dict[str, Path], root: Path, into: Path | None) -> dict[str, str]:
    package = into.resolve().name if into else "wxr_plugin"
    option = places["option"] if into else places["option"].relative_to(root)
    plugins = f"plugins: [{package}]\n" if into else ""
    gap = "" if into else "\n"  # above wxr_plugin, which is a third party to a plug-in only
    words = {"name": name, "module": name.lower(), "package": package, "option": option.as_posix()}
    return words | {"plugins": plugins, "gap": gap}


def _template(kind: str) -> str:
    return next(TEMPLATES.glob(f"{kind}.*")).read_text(encoding="utf-8")
