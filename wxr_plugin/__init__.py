"""Rain, haze and snow removal for BasicSR, with vision-language models in the loop.

    import wxr_plugin as wxr

    model = wxr.load("small")
    model("rain.jpg").save("clear.png")

Importing this package repairs BasicSR 1.4.2 for current packages (`wxr_plugin.compat`) and
registers its networks, datasets, losses, metrics and models with BasicSR. Import it before
`basicsr`. Both happen when BasicSR is imported and asked for a class, so that this import is cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

from wxr_plugin import compat

if TYPE_CHECKING:
    from wxr_plugin.api import (
        Degradation,
        LabelChoice,
        Model,
        Restored,
        WxrError,
        degradation,
        describe,
        load,
        pseudo_label,
        rate,
        vlm_vis,
    )

compat.install()

__version__ = "0.1.0"
__all__ = [
    "Degradation",
    "LabelChoice",
    "Model",
    "Restored",
    "WxrError",
    "degradation",
    "describe",
    "load",
    "pseudo_label",
    "rate",
    "vlm_vis",
]
_PARTS = ("archs", "data", "losses", "metrics", "models", "zoo")
"""Packages that are attributes of this one without an import of their own."""


def __getattr__(name: str) -> Any:
    """Import a function of the Python interface, or a part of the package, at its first use."""
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.api"), name)
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return sorted({*globals(), *__all__, *_PARTS})
