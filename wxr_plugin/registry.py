"""One registration for two hosts: BasicSR's registries, and MMEngine's root registry of models.

A class has one name in both: `ARCH_REGISTRY.get("MSBDN") is MODELS.get("MSBDN")`. Where another
package has a class of that name, in its own scope (as mmagic has a NAFNet) or in MMEngine's root,
the bare name means theirs; `wxr_plugin.NAFNet` always means ours. That is MMEngine's way to name a
class of a package: it imports `wxr_plugin.registry` for it, and so the whole package. In BasicSR
ours is then `NAFNet_wxr` (see `namesakes`).
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from basicsr.utils.registry import Registry as HostRegistry
from mmengine.registry import MODELS, Registry

from wxr_plugin.utils.namesakes import is_ours

T = TypeVar("T", bound=Callable)

OURS = Registry("model", parent=MODELS, scope="wxr_plugin")
"""What this package and its plug-ins register, under the scope `wxr_plugin`, where no other package's names are."""
_LOG = logging.getLogger("basicsr")


def register_arch(cls: T) -> T:
    """Decorator of a network: option files of BasicSR and configs of MMEngine know it by its name from now on."""
    return _register(cls, ARCH_REGISTRY)


def register_loss(cls: T) -> T:
    """Decorator of a loss, as `register_arch` of a network."""
    return _register(cls, LOSS_REGISTRY)


def _register(cls: T, host: HostRegistry) -> T:
    host.register(cls)
    name = cls.__name__
    if name not in OURS.module_dict:
        OURS.register_module(module=cls)
    holder = MODELS.module_dict.get(name)
    if holder is None or is_ours(holder):
        MODELS.register_module(module=cls)
    else:
        _LOG.warning(_said(name, holder))
    return cls


def _give_way(register: Callable) -> Callable:
    """Return MMEngine's `_register_module` of its root of models, to which another project's class may come later.

    MMEngine raises KeyError for a name that is taken. Where the holder is ours and the new class is
    not, the new one takes the name, as in `namesakes.register`.
    """

    @functools.wraps(register)
    def registered(
        module: Any, module_name: str | list[str] | None = None, force: bool = False
    ) -> None:
        named = [module_name] if isinstance(module_name, str) else module_name
        for name in named or [getattr(module, "__name__", "")]:
            holder = MODELS.module_dict.get(name)
            if not force and is_ours(holder) and not is_ours(module):
                _LOG.warning(_said(name, module))
                del MODELS.module_dict[name]
        register(module, module_name, force)

    return registered


def _said(name: str, theirs: Any) -> str:
    return f"`{name}` in a config of MMEngine means the one of {theirs.__module__}; `wxr_plugin.{name}` means ours"


MODELS._register_module = _give_way(MODELS._register_module)
