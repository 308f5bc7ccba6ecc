"""Describing an image and its weather."""

from typing import Any, Protocol

import numpy as np
import torch

from wxr_plugin.vlm.registries import build


class Describer(Protocol):
    """What `build_describer` gives."""

    def describe(self, images: torch.Tensor | list[np.ndarray]) -> list[str]:
        """One text an image, of float RGB (N, 3, H, W) in [0, 1] or a list of uint8 RGB arrays (H, W, 3).

        Empty where nothing usable was answered. WxrError only if the describer as a whole does not
        work.
        """

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a description depends on, in plain types."""


def build_describer(opt: dict[str, Any] | None = None) -> Describer:
    """The describer that a block of options describes; the packaged tiny model without one.

    Raises:
        WxrError: an unknown type, key, model or prompt, or a model that cannot be loaded.
    """
    return build("describer", opt)
