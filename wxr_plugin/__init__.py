"""Rain, haze and snow removal for BasicSR, with vision-language models in the loop.

Importing this package repairs BasicSR 1.4.2 for current packages (`wxr_plugin.compat`) and
registers its networks, datasets, losses, metrics and models with BasicSR. Import it before
`basicsr`. Both happen when BasicSR is imported and asked for a class, so that this import is cheap.
"""

import importlib
from types import ModuleType

from wxr_plugin import compat

compat.install()

__version__ = "0.1.0"

_PARTS = ("archs", "data", "losses", "metrics", "models", "zoo")
"""Packages that are attributes of this one without an import of their own."""


def __getattr__(name: str) -> ModuleType:
    """Import a part of the package at its first use."""
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
