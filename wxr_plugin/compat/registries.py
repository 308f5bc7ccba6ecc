"""Repairs of BasicSR's registries: ours are filled when needed, and a name may have two classes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from wxr_plugin.compat.filling import fill
from wxr_plugin.compat.machinery import lacks, repairs


@repairs("basicsr.utils.registry:Registry._do_register", lacks("_wxr"))
def do_register(
    original: Callable, self: Any, name: str, obj: Any, suffix: str | None = None
) -> None:
    """Accept a name that another project and we both use; stock raises AssertionError.

    See `utils.namesakes`. No upstream thread known.
    """
    from wxr_plugin.utils.namesakes import register

    register(original, self, name, obj, suffix)


@repairs("basicsr.utils.registry:Registry.get", lacks("_wxr"))
def registry_get(original: Callable, self: Any, name: str, suffix: str = "basicsr") -> Any:
    """Import our classes first, and find our NAFNet by `NAFNet_wxr`, also if it has the bare name.

    No upstream thread known.
    """
    from wxr_plugin.utils.namesakes import key_of

    fill(self)
    return original(self, key_of(self, name), suffix)


@repairs("basicsr.utils.registry:Registry.__contains__", lacks("_wxr"))
def registry_contains(original: Callable, self: Any, name: str) -> bool:
    """Contain the same names as `Registry.get`. No upstream thread known."""
    from wxr_plugin.utils.namesakes import key_of

    fill(self)
    return original(self, key_of(self, name))


@repairs("basicsr.utils.registry:Registry.__iter__", lacks("fill"))
def registry_iter(original: Callable, self: Any) -> Iterator[tuple[str, Any]]:
    """Import our classes first; no upstream thread known."""
    fill(self)
    return original(self)


@repairs("basicsr.utils.registry:Registry.keys", lacks("fill"))
def registry_keys(original: Callable, self: Any) -> Iterable[str]:
    """Import our classes first; no upstream thread known."""
    fill(self)
    return original(self)
