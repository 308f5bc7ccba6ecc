"""Repairs of BasicSR's registries: a class of another project and one of ours may share a name."""

from collections.abc import Callable
from typing import Any

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
    """Find our NAFNet by `NAFNet_wxr`, also if it has the bare name.

    No upstream thread known.
    """
    from wxr_plugin.utils.namesakes import key_of

    return original(self, key_of(self, name), suffix)


@repairs("basicsr.utils.registry:Registry.__contains__", lacks("_wxr"))
def registry_contains(original: Callable, self: Any, name: str) -> bool:
    """Contain the same names as `Registry.get`. No upstream thread known."""
    from wxr_plugin.utils.namesakes import key_of

    return original(self, key_of(self, name))
