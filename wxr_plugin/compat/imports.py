"""Code that runs around the first import of a module, whoever imports it, and however late.

With it `import wxr_plugin` needs neither torch nor BasicSR, and both are ready as soon as they are
imported.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Around = Callable[[], AbstractContextManager]
"""Returns a context manager within which a module is executed."""


def around(module: str, context: Around) -> None:
    """Execute `module` within `context()` when it is imported.

    If it has been imported already, the context is entered and left at once.
    """
    _CONTEXTS[module] = context
    if module in sys.modules:
        with context():
            pass
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def after(module: str, action: Callable[[], None]) -> None:
    """Call `action()` after `module` has been imported, at once if it has been already."""

    @contextmanager
    def context() -> Iterator[None]:
        yield
        action()

    around(module, context)


class _Finder:
    """Finds the modules of `around` by the other finders, and wraps their execution."""

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _CONTEXTS:
            return None
        spec = _found_by_others(name, path, target)
        # A namespace package has no loader, and nothing to execute.
        if spec is not None and spec.loader is not None:
            _wrap(spec.loader, _CONTEXTS[name])
        return spec


def _found_by_others(name: str, path: Any, target: ModuleType | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        if finder is _FINDER or find_spec is None:
            continue
        spec = find_spec(name, path, target)
        if spec is not None:
            return spec
    return None


def _wrap(loader: Any, context: Around) -> None:
    """Let `loader`, which a finder makes for one module, execute it within `context()`."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        with context():
            execute(module)

    loader.exec_module = exec_module


_CONTEXTS: dict[str, Around] = {}
_FINDER = _Finder()
