"""Minimal repairs that make mmagic 1.2.0, its last release, importable with current packages.

docs/mmagic.md lists the failures and their repairs. Nothing here touches mmagic's files, and
nothing happens where mmagic imports by itself.
"""

import ast
import functools
import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

import numpy as np
from mmengine.logging import print_log

from wxr_plugin.errors import WxrError

NEEDED = (
    "mmagic.models",
    "mmagic.datasets",
    "mmagic.evaluation",
    "mmagic.engine",
    "mmagic.visualization",
)
"""Packages that a training config uses; `mmagic.apis`, which is for inference, is not repaired."""
EDITORS = "mmagic.models.editors"
INSTALL = (
    'pip install "wxr_plugin[mmagic]", or for training alone the shorter command in docs/mmagic.md'
)
MMCV = ((2, 0, 0), (2, 2, 0))
"""mmagic takes versions from the first on and before the second."""


class Bridge(NamedTuple):
    """Report of the repairs."""

    repaired: bool
    """False where mmagic imports by itself."""
    skipped: dict[str, str]
    """Editor (mmagic's word for a method) that is left out -> why it cannot be imported."""


class MMagicError(WxrError):
    """mmagic, or a class of it that a config names, cannot be imported."""


def connect() -> Bridge:
    """Repair the import of mmagic in this process, unless mmagic imports by itself.

    Raises:
        MMagicError: mmagic or mmcv is missing, of the wrong version, or broken otherwise; the
            message has the command that installs it.
    """
    if "mmagic.models" in sys.modules or imports_by_itself():
        return Bridge(False, {})
    _check_installed()
    # numpy 2 removed the alias, which mmagic uses on import
    if not hasattr(np, "bool8"):
        np.bool8 = np.bool_
    skipped = _load_editors()
    _register_missing(skipped)
    keep_noise_in_float32()
    names = ", ".join(sorted(skipped)) or "none"
    print_log(
        f"mmagic was repaired for this process; editors left out: {names} (docs/mmagic.md)",
        "current",
    )
    return Bridge(True, skipped)


def is_installed() -> bool:
    """Return whether the package mmagic is installed; a folder of that name does not count."""
    spec = importlib.util.find_spec("mmagic")
    return spec is not None and spec.origin is not None


def imports_by_itself() -> bool:
    """Return whether mmagic can be imported without repairs."""
    # in another process, since a failed import leaves parts behind and cannot be repeated here
    command = [sys.executable, "-c", f"import {', '.join(NEEDED)}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _check_installed() -> None:
    if not is_installed():
        raise MMagicError(f"mmagic is not installed: {INSTALL}")
    try:
        version = importlib.import_module("mmcv").__version__
    except ImportError as error:
        raise MMagicError(
            f"mmagic needs mmcv, which cannot be imported ({error}): pip install mmcv-lite==2.1.0"
        ) from error
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if not MMCV[0] <= numbers < MMCV[1]:
        raise MMagicError(
            f"mmcv {version} is installed, and mmagic takes mmcv from 2.0.0 on and before 2.2.0: "
            "pip uninstall mmcv, then pip install mmcv-lite==2.1.0 (or a build of mmcv 2.1.0, "
            "which has compiled operators)"
        )


def _load_editors() -> dict[str, str]:
    """Import mmagic and its editors one by one; return those that fail, with the reasons."""
    package = _empty_editors()
    for name in NEEDED:
        _import_needed(name)
    skipped = {}
    modules = pkgutil.iter_modules(package.__path__)
    for name in sorted(module.name for module in modules if module.ispkg):
        try:
            editor = importlib.import_module(f"{EDITORS}.{name}")
        except Exception as error:  # third-party code; any kind of exception is possible
            skipped[name] = _reason(error)
            continue
        exported = getattr(editor, "__all__", ())
        public = {key: value for key, value in vars(editor).items() if key in exported}
        # both packages re-export the classes of every editor
        for holder in (package, sys.modules["mmagic.models"]):
            vars(holder).update(public)
    return skipped


def _empty_editors() -> ModuleType:
    """Replace the package of mmagic's editors by one that imports none of them; return it."""
    package = ModuleType(EDITORS)
    root = Path(importlib.util.find_spec("mmagic").origin).parent
    package.__path__ = [str(root / "models" / "editors")]
    package.__spec__ = ModuleSpec(EDITORS, None, is_package=True)
    package.__spec__.submodule_search_locations = package.__path__
    package.__all__ = []
    sys.modules[EDITORS] = package
    return package


def _import_needed(name: str) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:  # third-party code; any kind of exception is possible
        raise MMagicError(
            f"{name} cannot be imported, repaired or not ({_reason(error)}): {INSTALL}"
        ) from error


def _reason(error: Exception) -> str:
    """Return kind and message of `error` on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def keep_noise_in_float32() -> None:
    """Let mmagic's RandomNoise return float32 for images of 8 or 32 bits, as it did before numpy 2.

    It multiplies float32 arrays by numpy's float64 scalars. Before numpy 2 the result was float32;
    now it is float64, which a network in float32 refuses. Nothing is changed where numpy still
    returns float32, or a second time.
    """
    module = sys.modules.get("mmagic.datasets.transforms.random_degradations")
    noise = getattr(module, "RandomNoise", None)
    promotes = (np.zeros(1, np.float32) * np.float64(1)).dtype == np.float64
    if noise is None or not promotes or hasattr(noise._apply_random_noise, "__wrapped__"):
        return
    original = noise._apply_random_noise

    @functools.wraps(original)
    def apply(self: Any, images: Any) -> Any:
        noisy = original(self, images)
        if isinstance(images, list):
            pairs = zip(noisy, images, strict=True)
            return [_as_before(result, image) for result, image in pairs]
        return _as_before(noisy, images)

    noise._apply_random_noise = apply


def _as_before(noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return `noisy` in float32, unless the `image` itself had 64 bits."""
    return noisy if image.dtype == np.float64 else noisy.astype(np.float32)


def _register_missing(skipped: dict[str, str]) -> None:
    """Register functions that raise MMagicError under the names of missing classes."""
    registries = importlib.import_module("mmagic.registry")
    folder = Path(sys.modules[EDITORS].__path__[0])
    for editor, reason in skipped.items():
        for registry, name in registered_names(folder / editor):
            entries = getattr(registries, registry, None)
            if entries is not None and name not in entries.module_dict:
                entries.register_module(name=name, module=_missing(name, editor, reason))


def registered_names(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield registry and name of each class and function that files in `folder` register."""
    # the files are parsed, not run: they cannot be imported
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", ()):
                call = decorator.func if isinstance(decorator, ast.Call) else None
                if isinstance(call, ast.Attribute) and call.attr == "register_module":
                    yield ast.unparse(call.value), _explicit_name(decorator) or node.name


def _explicit_name(call: ast.Call) -> str | None:
    """Return the name in `register_module(name=...)`, if there is one."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "name"] + call.args[:1]
    return named[0].value if named and isinstance(named[0], ast.Constant) else None


def _missing(name: str, editor: str, reason: str) -> Callable[..., NoReturn]:
    def missing(*args: object, **kwargs: object) -> NoReturn:
        raise MMagicError(
            f"{name} is of mmagic's editor {editor}, which cannot be imported here ({reason}): "
            f"{_fix(reason)}"
        )

    missing.__name__ = missing.__qualname__ = name
    return missing


def _fix(reason: str) -> str:
    """Return the fix of a failed import, for the end of its message."""
    if "mmcv._ext" in reason:
        return (
            "it needs mmcv's compiled operators: build mmcv 2.1.0 from source, or take another "
            "network"
        )
    if "diffusers" in reason:
        return (
            "it needs an older diffusers (0.23 to 0.26), which needs older packages throughout; "
            "take another model"
        )
    return "install the missing package, or take another model"
