"""Repairs that basicsr 1.4.2 needs on current torch, torchvision and numpy."""

import sys
import types


def alias_functional_tensor() -> None:
    """Give basicsr the `functional_tensor` module that torchvision dropped (BasicSR#533, #663)."""
    name = "torchvision.transforms.functional_tensor"
    if name in sys.modules:
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = types.ModuleType(name)
    module.rgb_to_grayscale = rgb_to_grayscale
    sys.modules[name] = module


def repair() -> None:
    """Apply every repair; calling it again changes nothing."""
    alias_functional_tensor()
