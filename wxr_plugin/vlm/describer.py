"""Interface of describers, which describe an image and its weather."""

from typing import Any, Protocol

import numpy as np
import torch

from wxr_plugin.vlm.registries import build


class Describer(Protocol):
    """Interface of the classes in DESCRIBER_REGISTRY."""

    def describe(self, images: torch.Tensor | list[np.ndarray]) -> list[str]:
        """Return one text per image; it is empty if the answer is not usable.

        Args:
            images: float RGB (N, 3, H, W) in [0, 1], or a list of uint8 RGB arrays (H, W, 3).

        Raises:
            WxrError: the describer as a whole does not work.
        """

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a description depends on, in plain types."""


def build_describer(opt: dict[str, Any] | None = None) -> Describer:
    """Return the describer of a block of options; by default the packaged tiny model.

    Raises:
        WxrError: an unknown type, key, model or prompt, or a model that cannot be loaded.
    """
    return build("describer", opt)
