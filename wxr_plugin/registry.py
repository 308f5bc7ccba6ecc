"""One registration for two hosts: BasicSR's registries, and MMEngine's root registry of models.

A class has one name in both: `ARCH_REGISTRY.get("MSBDN") is MODELS.get("MSBDN")`. Where another package has a class of
that name in its own scope, as mmagic has a NAFNet, its configs mean theirs; `wxr_plugin.NAFNet` always means ours. That
is MMEngine's way to name a class of a package: it imports `wxr_plugin.registry` for it, and so the whole package.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from basicsr.utils.registry import Registry as HostRegistry
from mmengine.registry import MODELS, Registry

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
    OURS.register_module(module=cls)
    name, taken = cls.__name__, MODELS.module_dict.get(cls.__name__)
    if taken is None:
        MODELS.register_module(module=cls)
    else:
        _LOG.warning(
            f"MMEngine's root registry has a {name} of {taken.__module__}: `{name}` in a config means that one, and "
            f"`wxr_plugin.{name}` ours"
        )
    return cls
