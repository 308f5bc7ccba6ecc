"""Files of a new network, written from templates without overwriting anything."""

import keyword
from importlib import resources
from pathlib import Path
from string import Template

from wxr_plugin.errors import WxrError
from wxr_plugin.utils import files

Paths = dict[str, Path]
"""Kind of file, as the templates are named, -> path."""
TEMPLATES = resources.files(__package__) / "templates"


class NewArchError(WxrError):
    """A name or folder that cannot be used for a new network."""


def new_arch(name: str, root: Path, into: Path | None = None) -> Paths:
    """Write a small network called `name` that can be trained at once, and its further files.

    Args:
        name: name of the class, as in option files; the names of files have it in lower case.
        root: root of this package's repository; not used if `into` is given.
        into: folder of a plug-in package, created if it is missing.

    Returns:
        Kind -> file. In both cases arch and option; in the repository also row; in a plug-in also
        test and, if the package is new, package.

    Raises:
        NewArchError: `name` is not the name of a class, or it is taken; `root` is not a repository;
            a file exists already. Nothing is written in these cases.
    """
    _check_name(name)
    paths = _plugin_paths(name, into) if into else _repository_paths(name, root)
    taken = [str(path) for path in paths.values() if path.exists()]
    if taken:
        raise NewArchError(
            f"{', '.join(taken)}: there already; nothing was written. Take another name"
        )
    values = _values(name, paths, root, into)
    # All texts before the first file, so that a faulty template leaves nothing behind.
    texts = {kind: Template(_template(kind)).substitute(values) for kind in paths}
    for kind, text in texts.items():
        files.write_text(paths[kind], text)
    return paths


def _check_name(name: str) -> None:
    is_name = name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
    if not is_name or name.startswith("_"):
        raise NewArchError(
            f"{name!r} is not a name for a Python class; take letters, digits and _, such as "
            "FrostNet"
        )
    from basicsr.utils.registry import ARCH_REGISTRY

    # Files have the name in lower case, so names that differ in case only would collide.
    for registered, _ in ARCH_REGISTRY:
        if registered.removesuffix("_basicsr").lower() == name.lower():
            raise NewArchError(
                f"{name}: the network {registered} is registered already; take another name"
            )


def _repository_paths(name: str, root: Path) -> Paths:
    if not (root / "wxr_plugin" / "archs").is_dir():
        raise NewArchError(
            f"{root} is not the repository of wxr_plugin: start there, or give your own package "
            "with --into"
        )
    module = name.lower()
    return {
        "arch": root / f"wxr_plugin/archs/{module}_arch.py",
        "option": root / f"options/train/baselines/{module}.yml",
        "row": root / f"wxr_plugin/zoo/{module}.yml",
    }


def _plugin_paths(name: str, into: Path) -> Paths:
    if not into.resolve().name.isidentifier():
        raise NewArchError(
            f"{into}: the folder of a package needs a name that Python can import, such as "
            "my_networks"
        )
    if into.exists() and not into.is_dir():
        raise NewArchError(f"{into}: a file; --into names the folder of a package")
    module = name.lower()
    paths = {
        "arch": into / f"{module}_arch.py",
        "option": into / f"{module}.yml",
        "test": into / f"test_{module}.py",
    }
    package = into / "__init__.py"
    return paths if package.exists() else paths | {"package": package}


def _values(name: str, paths: Paths, root: Path, into: Path | None) -> dict[str, str]:
    """Return placeholder -> text for the templates."""
    package = into.resolve().name if into else "wxr_plugin"
    option = paths["option"] if into else paths["option"].relative_to(root)
    return {
        "name": name,
        "module": name.lower(),
        "package": package,
        "option": option.as_posix(),
        "plugins": f"plugins: [{package}]\n" if into else "",
        # A blank line before the imports of wxr_plugin, which are third-party in a plug-in only.
        "gap": "" if into else "\n",
    }


def _template(kind: str) -> str:
    (file,) = TEMPLATES.glob(f"{kind}.*")
    return file.read_text(encoding="utf-8")
