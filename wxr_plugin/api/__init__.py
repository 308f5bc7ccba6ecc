"""The Python interface: images in, images or answers about them out (docs/api.md).

`wxr_plugin` has these functions itself: `import wxr_plugin as wxr; wxr.load("small")`.
"""

from wxr_plugin.api.labels import LabelChoice, pseudo_label
from wxr_plugin.api.model import Model, load
from wxr_plugin.api.questions import Degradation, degradation, describe, rate, vlm_vis
from wxr_plugin.api.restored import Restored
from wxr_plugin.errors import WxrError

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
