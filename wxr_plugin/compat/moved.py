"""Modules and names that current packages, or BasicSR 1.4, have dropped or moved."""

import importlib
import importlib.util
import sys
import types

COLOURS = ("rgb2ycbcr", "bgr2ycbcr", "ycbcr2rgb", "ycbcr2bgr")


def restore_modules() -> None:
    """Make modules importable again that BasicSR imports and current packages lack."""
    alias_functional_tensor()
    alias_distutils()


def restore_names() -> None:
    """Make names importable again that BasicSR 1.4 has moved."""
    alias_moved_names()


def alias_functional_tensor() -> None:
    """Restore the module `functional_tensor` that torchvision 0.17 dropped (BasicSR#533, #663)."""
    name = "torchvision.transforms.functional_tensor"
    if name in sys.modules or importlib.util.find_spec(name):
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = types.ModuleType(name)
    module.rgb_to_grayscale = rgb_to_grayscale
    sys.modules[name] = module


def alias_distutils() -> None:
    """Restore `distutils.version`, which Python 3.12 dropped; no upstream thread known.

    setuptools restores it by a hook at start-up, which some environments switch off. basicsr only
    compares versions of torchvision, which packaging orders alike.
    """
    try:
        importlib.import_module("distutils.version")
    except ImportError:
        from packaging.version import Version

        package = types.ModuleType("distutils")
        module = types.ModuleType("distutils.version")
        package.version = module
        module.LooseVersion = Version
        sys.modules |= {"distutils": package, "distutils.version": module}


def alias_moved_names() -> None:
    """Restore the old places of colour conversions and losses; no upstream thread known.

    BasicSR 1.4 moved them; HAT and DRCT, made for 1.3.4.9, import the old places.
    """
    from basicsr.losses import basic_loss, gan_loss
    from basicsr.utils import color_util, matlab_functions

    for name in COLOURS:
        vars(matlab_functions).setdefault(name, getattr(color_util, name))
    name = "basicsr.losses.losses"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        module = types.ModuleType(name)
        for source in (basic_loss, gan_loss):
            public = {key: value for key, value in vars(source).items() if not key.startswith("_")}
            vars(module).update(public)
        sys.modules[name] = module
        sys.modules["basicsr.losses"].losses = module
