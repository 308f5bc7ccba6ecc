"""Our entries of BasicSR's registries, which are imported at the first lookup."""

import threading
from importlib import import_module
from typing import Any

from wxr_plugin.utils.modules import FOLDERS, modules_of

_STARTED: set[str] = set()
# Reentrant: the modules that are imported may look something up themselves.
_LOCK = threading.RLock()


def fill(registry: Any) -> None:
    """Import our entries of one of BasicSR's registries, unless that has been done.

    Registries of other packages are left alone.
    """
    from basicsr.utils import registry as host

    kind = registry._name
    if kind in _STARTED or kind not in FOLDERS:
        return
    if registry is getattr(host, f"{kind.upper()}_REGISTRY"):
        fill_kind(kind)


def fill_kind(kind: str) -> None:
    """Import our entries of a kind, such as "arch", unless that has been done."""
    with _LOCK:
        if kind in _STARTED:
            return
        _STARTED.add(kind)
        try:
            for module in modules_of(kind):
                import_module(module)
        except BaseException:
            # The next lookup shall raise the same error and not miss half of the entries.
            _STARTED.discard(kind)
            raise
