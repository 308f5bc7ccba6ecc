"""Networks that depend on the whole image, so that tiles differ from it."""

from functools import cache
from importlib import resources

import yaml
from torch import nn

from wxr_plugin.utils.namesakes import is_ours

FILE = resources.files(__package__) / "whole_image.yml"


@cache
def reasons() -> dict[str, str]:
    """Return registered name -> the part that depends on the whole image, of our networks."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def reason(net: nn.Module) -> str | None:
    """Return the part of `net` that depends on the whole image, or None.

    A network's attribute `whole_image` comes before our list.
    """
    if getattr(net, "local_size", None):  # NAFNet with means of windows
        return None
    listed = reasons().get(type(net).__name__) if is_ours(type(net)) else None
    return getattr(net, "whole_image", None) or listed
