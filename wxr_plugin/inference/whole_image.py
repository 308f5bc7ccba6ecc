"""Networks that look at the whole image, so that tiles are not what they would make of it."""

from functools import cache
from importlib import resources

import yaml
from torch import nn

from wxr_plugin.utils.namesakes import is_ours

FILE = resources.files(__package__) / "whole_image.yml"


@cache
def reasons() -> dict[str, str]:
    """Registered name of each such network of this package -> what of it depends on the whole image."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def reason(net: nn.Module) -> str | None:
    """What in `net` depends on the whole image, or None: a network's own attribute `whole_image`, else our list."""
    if getattr(net, "local_size", None):  # NAFNet with means of windows
        return None
    listed = reasons().get(type(net).__name__) if is_ours(type(net)) else None
    return getattr(net, "whole_image", None) or listed
