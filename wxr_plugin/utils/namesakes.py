"""Classes of the same name: another project's takes the bare name, ours becomes `NAME_wxr`.

BasicSR and MMEngine raise an error when a name is registered twice, so that importing this package
next to a project that has a NAFNet of its own would fail. Here ours is renamed, whichever is
imported first. `NAME_wxr` always means ours, also where nobody else has a class of that name.
BasicSR itself distinguishes classes of the same name by such a suffix.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

SUFFIX = "_wxr"
_LOG = logging.getLogger("basicsr")


def is_ours(item: Any) -> bool:
    """Return whether a class or function is defined in this package."""
    module = str(getattr(item, "__module__", ""))
    return module.split(".")[0] == "wxr_plugin"


def register(
    original: Callable, registry: Any, name: str, item: Any, suffix: str | None = None
) -> None:
    """Register `item` in a registry of BasicSR; ours gets the suffix if the name is taken.

    Args:
        original: `Registry._do_register` of BasicSR, which raises AssertionError for a taken name.
            It is called unless exactly one of the two classes is ours.
        registry: the registry of BasicSR.
        name: name of the class.
        item: the class or function.
        suffix: suffix that BasicSR was asked to add.
    """
    entries = registry._obj_map
    holder = None if isinstance(suffix, str) else entries.get(name)
    if holder is None or is_ours(holder) == is_ours(item):
        original(registry, name, item, suffix)
        return
    ours, theirs = (holder, item) if is_ours(holder) else (item, holder)
    entries[name] = theirs
    entries[name + SUFFIX] = ours
    _LOG.warning(
        f"{name} now means the {registry._name} of {theirs.__module__}; ours is {name}{SUFFIX}"
    )


def key_of(registry: Any, name: str) -> str:
    """Return the key of `name` in a registry of BasicSR.

    The key of `NAFNet_wxr` is `NAFNet` as long as that is ours.
    """
    entries = registry._obj_map
    bare = str(name).removesuffix(SUFFIX)
    if name in entries:
        return name
    return bare if is_ours(entries.get(bare)) else name


def aliases(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return `NAME_wxr` -> class for those of `entries` (name -> class) that are ours."""
    return {
        name + SUFFIX: item
        for name, item in entries.items()
        if is_ours(item) and not name.endswith(SUFFIX)
    }


def our_network(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return `block` (`network_g`) with the suffix if another project has the bare name."""
    from basicsr.utils.registry import ARCH_REGISTRY

    kind = str(block["type"]).removesuffix(SUFFIX)
    # A lookup by name would find `NAFNet_wxr` also where ours has the bare name.
    taken = kind + SUFFIX in dict(iter(ARCH_REGISTRY))
    return {**block, "type": kind + SUFFIX if taken else kind}
