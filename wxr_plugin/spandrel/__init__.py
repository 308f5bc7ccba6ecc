"""Weather networks for spandrel: programs built on it then load their published checkpoints.

import spandrel
import wxr_plugin.spandrel

wxr_plugin.spandrel.install()
model = spandrel.ModelLoader().load_from_file("net.pth")
"""

from collections.abc import Sequence

from spandrel import MAIN_REGISTRY, ArchRegistry, ArchSupport

from wxr_plugin.spandrel.architecture import all_supports, check_rows

__all__ = ["install"]


def install(
    *, registry: ArchRegistry = MAIN_REGISTRY, prefer: Sequence[str] = ()
) -> list[ArchSupport]:
    """Add the networks to spandrel's registry and return those that were added.

    A second call adds nothing. spandrel's own architectures keep their ids and checkpoints.

    Args:
        registry: the registry of `spandrel.ModelLoader`.
        prefer: rows of the zoo (`wxr zoo list`) for checkpoints whose weights fit several, such as
            "gcanet-derain"; without it the first row counts. Only the first call takes them.

    Raises:
        WxrError: a name in `prefer` is no row of the zoo.
    """
    check_rows(prefer)
    return registry.add(*all_supports(tuple(prefer)), ignore_duplicates=True)
