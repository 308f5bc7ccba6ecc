"""Repairs that BasicSR 1.4.2 needs on current torch, torchvision, numpy, OpenCV and py-lmdb.

1.4.2 is BasicSR's last release, so it is repaired from outside. Each function here under
`@repairs(place, fault)` replaces a function of BasicSR if `fault(original)` is true; its docstring
names the upstream thread. Longer code is elsewhere: `options.command_line`, `checkpoints.resuming`,
`utils.lmdb_cache`, `data.seeding` and `data.loading`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from wxr_plugin.compat import (  # noqa: F401  each registers its repairs, which apply in this order
    imports,
    loading,
    models,
    processes,
    registries,
    runs,
    validation,
)
from wxr_plugin.compat.filling import fill_kind
from wxr_plugin.compat.machinery import apply_all
from wxr_plugin.compat.moved import restore_modules, restore_names
from wxr_plugin.utils import vendored
from wxr_plugin.utils.modules import modules_of

__all__ = ["fill_kind", "install", "repair"]


def install() -> None:
    """Repair BasicSR when it is imported, and register our classes when they are looked up.

    Raises:
        VendoredError: a project's own folder `basicsr` would be imported, and does not work.
    """
    imports.around("basicsr", _repaired)
    imports.after("mmengine.registry", _announce)
    imports.after("wxr_plugin.checkpoints.reading", _know_published_classes)
    # A copy is reported here, where the traceback names the project's own start script.
    if vendored.imported_copy():
        repair()
    vendored.warn_of_unused()


def repair() -> None:
    """Import BasicSR with every repair; a second call changes nothing."""
    restore_modules()
    restore_names()
    apply_all()


@contextmanager
def _repaired() -> Iterator[None]:
    """Apply the repairs around the execution of BasicSR's __init__.py, which needs some of them."""
    # An error of a basicsr that lies in the current directory is explained.
    with vendored.explained():
        restore_modules()
        yield
        restore_names()
        apply_all()


def _announce() -> None:
    """Let MMEngine import our networks and losses when it looks up a model."""
    from mmengine.registry import MODELS

    MODELS._locations = [*MODELS._locations, *modules_of("arch"), *modules_of("loss")]
    # It imports them once, and may have looked up something before.
    MODELS._imported = False


def _know_published_classes() -> None:
    """Let `checkpoints.reading`, which is below the zoo, know the classes in published files."""
    from wxr_plugin.checkpoints import reading

    reading.published_classes = _published_classes


def _published_classes() -> tuple[str, ...]:
    from wxr_plugin.zoo.rows import published_classes

    return published_classes()
