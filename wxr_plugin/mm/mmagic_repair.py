"""Making mmagic 1.2.0, its last release, importable beside current packages: the least that does.

What fails, and what is done about it, is in docs/mmagic.md. Nothing here touches mmagic's files,
and nothing happens where mmagic imports by itself.
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
"""What a training config reaches. `mmagic.apis`, which is for inference, is left to itself."""
EDITORS = "mmagic.models.editors"
INSTALL = 'pip install "wxr_plugin[mmagic]", or without what training does not need, the lean line in docs/mmagic.md'
MMCV = ((2, 0, 0), (2, 2, 0))
"""mmagic takes versions from the first on and before the second."""


class Bridge(NamedTuple):
    """What was done."""

    repaired: bool
    """False where mmagic imports by itself."""
    skipped: dict[str, str]
    """Editor that is left out -> why it cannot be imported."""


class MMagicError(WxrError):
    """mmagic, or what a config wants of it, is not to be had here."""


def connect() -> Bridge:
    """Repair mmagic's import in this process, if it needs that.

    Raises:
        MMagicError: mmagic or mmcv is missing, of the wrong version, or broken otherwise; it says
            what to install.
    """
    if "mmagic.models" in sys.modules or imports_by_itself():
        return Bridge(False, {})
    _check_installed()
    if not hasattr(np, "bool8"):
        np.bool8 = np.bool_
    skipped = _load_editors()
    _name_the_missing(skipped)
    keep_noise_in_float32()
    told = ", ".join(sorted(skipped)) or "none"
    print_log(
        f"mmagic was repaired for this process; editors left out: {told} (docs/mmagic.md)",
        "current",
    )
    return Bridge(True, skipped)


def is_installed() -> bool:
    """Whether there is a package mmagic; a mere folder of that name, such as a clone's, is none."""
    spec = importlib.util.find_spec("mmagic")
    return spec is not None and spec.origin is not None


def imports_by_itself() -> bool:
    """Whether mmagic can be imported as it is: tried in another process, since a failed try cannot be repeated."""
    code = f"import {', '.join(NEEDED)}"
    return (
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode
        == 0
    )


def _check_installed() -> None:
    if not is_installed():
        raise MMagicError(f"mmagic is not installed: {INSTALL}")
    try:
        version = importlib.import_module("mmcv").__version__
    except ImportError as error:
        raise MMagicError(
            f"mmagic needs mmcv, and there is none ({error}): pip install mmcv-lite==2.1.0"
        ) from error
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if not MMCV[0] <= numbers < MMCV[1]:
        raise MMagicError(
            f"mmcv {version} is installed, and mmagic takes mmcv from 2.0.0 on and before 2.2.0: "
            f"pip uninstall mmcv, "
            "then pip install mmcv-lite==2.1.0 (or a build of mmcv 2.1.0, which brings compiled "
            "operators)"
        )


def _load_editors() -> dict[str, str]:
    """Import mmagic, its editors one by one; those that cannot be imported, with the reasons."""
    package = _empty_editors()
    for name in NEEDED:
        _import_needed(name)
    skipped = {}
    for name in sorted(
        module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg
    ):
        try:
            editor = importlib.import_module(f"{EDITORS}.{name}")
        except Exception as error:  # whatever an editor's import may raise
            skipped[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            continue
        public = {
            key: value
            for key, value in vars(editor).items()
            if key in getattr(editor, "__all__", ())
        }
        for holder in (package, sys.modules["mmagic.models"]):
            vars(holder).update(public)
    return skipped


def _empty_editors() -> ModuleType:
    """A package in the place of mmagic's editors, which imports none of them by itself."""
    package = ModuleType(EDITORS)
    package.__path__ = [
        str(Path(importlib.util.find_spec("mmagic").origin).parent / "models" / "editors")
    ]
    package.__spec__ = ModuleSpec(EDITORS, None, is_package=True)
    package.__spec__.submodule_search_locations = package.__path__
    package.__all__ = []
    sys.modules[EDITORS] = package
    return package


def _import_needed(name: str) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise MMagicError(
            f"{name} cannot be imported, repaired or not ({reason}): {INSTALL}"
        ) from error


def keep_noise_in_float32() -> None:
    """Let mmagic's RandomNoise return float32 for images of 8 or 32 bits, as it did before numpy 2.

    It multiplies float32 arrays by numpy's float64 scalars. Before numpy 2 the result was float32;
    now it is float64, which a network in float32 refuses. Nothing is changed where numpy still
    gives float32, or a second time.
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
            return [_as_before(one, image) for one, image in zip(noisy, images, strict=True)]
        return _as_before(noisy, images)

    noise._apply_random_noise = apply


def _as_before(noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return `noisy` in float32, unless the `image` itself had 64 bits."""
    return noisy if image.dtype == np.float64 else noisy.astype(np.float32)


def _name_the_missing(skipped: dict[str, str]) -> None:
    """Let the registries answer for what the skipped editors would have registered, with an error that helps."""
    registries = importlib.import_module("mmagic.registry")
    for editor, reason in skipped.items():
        for registry, name in registered_names(Path(sys.modules[EDITORS].__path__[0]) / editor):
            entries = getattr(registries, registry, None)
            if entries is not None and name not in entries.module_dict:
                entries.register_module(name=name, module=_missing(name, editor, reason))


def registered_names(folder: Path) -> Iterator[tuple[str, str]]:
    """Registry and name of every class and function that a folder of Python files registers; nothing is run."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", ()):
                call = decorator.func if isinstance(decorator, ast.Call) else None
                if isinstance(call, ast.Attribute) and call.attr == "register_module":
                    yield ast.unparse(call.value), _given_name(decorator) or node.name


def _given_name(call: ast.Call) -> str | None:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "name"] + call.args[:1]
    return named[0].value if named and isinstance(named[0], ast.Constant) else None


def _missing(name: str, editor: str, reason: str) -> Callable[..., NoReturn]:
    def missing(*args: object, **kwargs: object) -> NoReturn:
        raise MMagicError(
            f"{name} is of mmagic's editor {editor}, which cannot be imported here ({reason}): "
            f"{_mend(reason)}"
        )

    missing.__name__ = missing.__qualname__ = name
    return missing


def _mend(reason: str) -> str:
    if "mmcv._ext" in reason:
        return "it needs mmcv's compiled operators: build mmcv 2.1.0 from source, or take another network"
    if "diffusers" in reason:
        return "it needs an older diffusers (0.23 to 0.26), which wants older packages throughout; take another model"
    return "install what is missing, or take another model"
