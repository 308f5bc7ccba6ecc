"""Repairs that BasicSR 1.4.2 needs on current torch, torchvision, numpy, OpenCV and py-lmdb.

1.4.2 is BasicSR's last release, so it is repaired from outside. Each function here under
`@repairs(place, fault)` replaces a function of BasicSR if `fault(original)` is true; its docstring
names the upstream thread. Longer code is elsewhere: `options.command_line`, `checkpoints.resuming`,
`utils.lmdb_cache`, `data.seeding` and `data.loading`.
"""

from wxr_plugin.compat import (  # noqa: F401  each registers its repairs, which apply in this order
    loading,
    models,
    processes,
    registries,
    runs,
    validation,
)
from wxr_plugin.compat.machinery import apply_all
from wxr_plugin.compat.moved import restore_names

__all__ = ["repair"]


def repair() -> None:
    """Apply every repair; a second call changes nothing."""
    restore_names()
    apply_all()
