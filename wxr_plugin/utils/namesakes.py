"""Two classes of one name: another project's takes the bare name, ours stays available as `NAME_wxr`.

BasicSR and MMEngine raise an error when a name is registered twice, so that importing this package
next to a project that has a NAFNet of its own would fail. Here ours gives way, whichever is
imported first. `NAME_wxr` always means ours, also where nobody else has a class of that name. The
suffix is BasicSR's own way to tell namesakes apart.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

SUFFIX = "_wxr"
_LOG = logging.getLogger("basicsr")


def is_ours(item: Any) -> bool:
    """Return whether a class or function is defined in this package, not in a plug-in or another project."""
    return str(getattr(item, "__module__", "")).split(".")[0] == "wxr_plugin"


def register(
    original: Callable, registry: Any, name: str, item: Any, suffix: str | None = None
) -> None:
    """Register `item` in a registry of BasicSR; where it and the present holder are namesakes, ours gets the suffix.

    `original` is BasicSR's `Registry._do_register`, which raises AssertionError for a name that is
    taken. It decides wherever the two are both ours or both of others.
    """
    entries = registry._obj_map
    holder = None if isinstance(suffix, str) else entries.get(name)
    if holder is None or is_ours(holder) == is_ours(item):
        original(registry, name, item, suffix)
        return
    ours, theirs = (holder, item) if is_ours(holder) else (item, holder)
    entries[name], entries[name + SUFFIX] = theirs, ours
    _LOG.warning(
        f"{name} now means the {registry._name} of {theirs.__module__}; ours is {name}{SUFFIX}"
    )


def key_of(registry: Any, name: str) -> str:
    """Return the key of `name` in a registry of BasicSR: of `NAFNet_wxr` it is `NAFNet` while ours holds that."""
    entries, bare = registry._obj_map, str(name).removesuffix(SUFFIX)
    return bare if name not in entries and is_ours(entries.get(bare)) else name


def aliases(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of `entries` (name -> class) is ours and has the bare name, under `NAME_wxr`."""
    return {
        name + SUFFIX: item
        for name, item in entries.items()
        if is_ours(item) and not name.endswith(SUFFIX)
    }


def our_network(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `network_g` block that means our network, with the suffix where another project has the bare name."""
    from basicsr.utils.registry import ARCH_REGISTRY

    kind = str(block["type"]).removesuffix(SUFFIX)
    taken = kind + SUFFIX in ARCH_REGISTRY._obj_map
    return {**block, "type": kind + SUFFIX if taken else kind}
