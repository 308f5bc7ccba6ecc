"""Register networks and losses with BasicSR and MMEngine at once.

A class has one name in both: `ARCH_REGISTRY.get("MSBDN") is MODELS.get("MSBDN")`. If another
package has a class of that name, in its own scope (mmagic has a NAFNet) or in MMEngine's root, the
bare name means that class. `wxr_plugin.NAFNet` always means ours: MMEngine imports
`wxr_plugin.registry` for such a name. In BasicSR ours is then `NAFNet_wxr` (see `namesakes`).
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from basicsr.utils.registry import Registry as HostRegistry
from mmengine.registry import MODELS, Registry

from wxr_plugin.utils.modules import modules_of
from wxr_plugin.utils.namesakes import is_ours

T = TypeVar("T", bound=Callable)

OURS = Registry(
    "model",
    parent=MODELS,
    scope="wxr_plugin",
    locations=[*modules_of("arch"), *modules_of("loss")],
)
"""Registry of this package and its plug-ins, under a scope that no other package shares."""
_LOG = logging.getLogger("basicsr")


def register_arch(cls: T) -> T:
    """Register a network for BasicSR's option files and MMEngine's configs; a class decorator."""
    return _register(cls, ARCH_REGISTRY)


def register_loss(cls: T) -> T:
    """Register a loss, as `register_arch` does a network; a class decorator."""
    return _register(cls, LOSS_REGISTRY)


def _register(cls: T, host: HostRegistry) -> T:
    host.register(cls)
    name = cls.__name__
    if name not in OURS.module_dict:
        OURS.register_module(module=cls)
    # If another project has registered the name first, it keeps the bare name.
    holder = MODELS.module_dict.get(name)
    if holder is None or is_ours(holder):
        MODELS.register_module(module=cls)
    else:
        _LOG.warning(_ambiguous(name, holder))
    return cls


def _give_way(register: Callable) -> Callable:
    """Return `_register_module` of MMEngine's root with the bare name yielded to other projects.

    MMEngine raises KeyError for a name that is taken. If the class that has it is ours and the new
    one is not, the new one gets the name, as in `namesakes.register`.
    """

    @functools.wraps(register)
    def registered(
        module: Any, module_name: str | list[str] | None = None, force: bool = False
    ) -> None:
        names = [module_name] if isinstance(module_name, str) else module_name
        for name in names or [getattr(module, "__name__", "")]:
            holder = MODELS.module_dict.get(name)
            if not force and is_ours(holder) and not is_ours(module):
                _LOG.warning(_ambiguous(name, module))
                del MODELS.module_dict[name]
        register(module, module_name, force)

    return registered


def _ambiguous(name: str, theirs: Any) -> str:
    meaning = f"`{name}` in a config of MMEngine means the class of {theirs.__module__}"
    return f"{meaning}; `wxr_plugin.{name}` means ours"


MODELS._register_module = _give_way(MODELS._register_module)
