"""Choosing whether a photo is restored whole or in tiles, how large tiles are, and how much neighbours share."""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from wxr_plugin.contributing import network_checks
from wxr_plugin.errors import WxrError
from wxr_plugin.inference import footprint, reach
from wxr_plugin.inference.tiling import BLEND, margin
from wxr_plugin.inference.whole_image import reason

AUTO = "auto"
Tile = int | Literal["auto"] | None
"""Side of tiles in pixels; "auto": whole photos, or the largest tiles that fit into memory; None: whole photos."""
SMALL = 1024
"""Photos up to this side are restored whole without an estimate; where they do not fit, halving tiles helps."""
LEAST_TILE = 256
"""Smaller ones are not chosen from an estimate.

Where they do not fit either, halving tiles helps.
"""
UNKNOWN = 64
"""Pixels that a network is taken to look far where that cannot be measured (our choice)."""
_LOG = logging.getLogger("basicsr")


class Cut(NamedTuple):
    """How a photo is cut."""

    tile: int | None
    """Side of the tiles in pixels; None for the whole photo."""
    overlap: int = 0
    """Pixels that neighbouring tiles share."""


class Cutter:
    """Chooses the cut of photos for one network.

    What it measures of the network is measured once, when it is needed.

    Args:
        net: the network, on `device`.
        precision: as torch's autocast takes it; None for float32.
    """

    def __init__(self, net: nn.Module, device: torch.device, precision: torch.dtype | None = None):
        self.net, self.device, self.precision = net, device, precision
        self._said: set[str] = set()

    def choose(
        self, longest: int, pixels: int, tile: Tile, overlap: int | None, batch: int = 1
    ) -> Cut:
        """Return the cut of a photo whose longer side is `longest`.

        Args:
            tile, overlap: as a person gave them; `overlap` is chosen where it is None.
            batch: tiles that go through the network together.

        Raises WxrError for an overlap that is not smaller than the tiles.
        """
        if (
            tile is None
            or (tile == AUTO and self._fits(longest, pixels))
            or (tile != AUTO and longest <= tile)
        ):
            return Cut(None)
        side = self.largest_tile(batch) if tile == AUTO else tile
        if longest <= side:
            return Cut(None)
        chosen = Cut(side, self.overlap(side) if overlap is None else overlap)
        if chosen.overlap >= side:
            raise WxrError(
                f"tiles of {side} pixels cannot share {overlap}: give a smaller --overlap, or none"
            )
        self._warn(chosen, tile == AUTO)
        return chosen

    def largest_tile(self, batch: int = 1) -> int:
        """Return the side of the largest tile that fits into memory, by the estimate; a multiple of 32."""
        return max(LEAST_TILE, self.footprint.side(footprint.budget(self.device), batch))

    def overlap(self, tile: int) -> int:
        """Return the pixels that neighbouring tiles share where nobody says how many.

        Tiles equal the whole if each has `receptive_field` pixels around what counts of it. Where
        that is more than half of a tile, the distance from which changes are still visible has to
        be enough; for networks that see the whole image nothing is, and they get an eighth of a
        tile.
        """
        if reason(self.net):
            return _rounded(tile // 8)
        exact = 2 * self.receptive_field + BLEND
        if exact <= max(tile // 2, 2 * BLEND):
            return min(_rounded(exact), tile // 2)
        return min(_rounded(2 * min(self.visible_reach, self.receptive_field) + BLEND), tile // 2)

    @cached_property
    def footprint(self) -> footprint.Footprint:
        """The memory that the network takes."""
        with torch.inference_mode():
            return footprint.measure(self._run, self.device)

    @cached_property
    def receptive_field(self) -> int:
        """`reach.receptive_field` of the network."""
        return self._measured(reach.receptive_field)

    @cached_property
    def visible_reach(self) -> int:
        """`reach.visible_reach` of the network."""
        return self._measured(reach.visible_reach)

    def _measured(self, measure: Callable[[nn.Module], int]) -> int:
        """Return what `measure` gives; UNKNOWN, and a line says so, for a network that takes no strips of noise."""
        try:
            return measure(self.net)
        except Exception as error:  # networks of others raise anything
            self._say(
                f"how far {type(self.net).__name__} looks cannot be measured "
                f"({type(error).__name__}); give --overlap"
            )
            return UNKNOWN

    def _fits(self, longest: int, pixels: int) -> bool:
        """Return whether a photo fits into memory whole, by the estimate."""
        return longest <= SMALL or self.footprint.bytes(pixels) <= footprint.budget(self.device)

    def _run(self, image: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not None):
            return network_checks.call(self.net, image)

    def _warn(self, cut: Cut, is_chosen: bool) -> None:
        """Log, once each, that photos are cut for want of memory, and that tiles will not equal the whole."""
        if is_chosen:
            self._say(
                f"whole photos do not fit into memory; tiles of {cut.tile} pixels do, sharing "
                f"{cut.overlap}"
            )
        name, why = type(self.net).__name__, reason(self.net)
        if why:
            self._say(
                f"{name} depends on the whole image ({why}), so tiles may differ in tone where "
                f"they meet; a larger "
                "tile makes that less, none (--tile 0) avoids it"
            )
        elif not self._is_enough(margin(cut.overlap)):
            wanted = _rounded(2 * self.visible_reach + BLEND)
            self._say(
                f"{name} looks up to {self.visible_reach} pixels far and tiles share "
                f"{cut.overlap}, so seams may show; "
                f"--overlap {wanted} avoids them"
            )

    def _is_enough(self, pixels: int) -> bool:
        """Return whether so many pixels around what counts of a tile keep seams from showing."""
        known_field = reach.known(self.net)
        return (known_field is not None and pixels >= known_field) or pixels >= self.visible_reach

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            _LOG.warning(line)


def _rounded(pixels: int, multiple: int = 32) -> int:
    return -(-pixels // multiple) * multiple
