"""The choice of how a photo is cut: whole or in tiles, their size, and their overlap."""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from wxr_plugin.contributing import network_checks
from wxr_plugin.errors import WxrError
from wxr_plugin.inference import memory, reach
from wxr_plugin.inference.tiling import BLEND, margin

AUTO = "auto"
Tile = int | Literal["auto"] | None
"""Side of tiles in pixels; None: whole; "auto": whole, or the largest tiles that fit."""
SMALL = 1024
"""Side in pixels up to which photos are restored whole without an estimate of the memory.

Where they do not fit, tiles are halved.
"""
LEAST_TILE = 256
"""Side in pixels of the smallest tile that is chosen from an estimate.

Where it does not fit either, tiles are halved.
"""
UNKNOWN = 64
"""Reach in pixels of networks whose reach cannot be measured (our choice)."""
_LOG = logging.getLogger("basicsr")


class Cut(NamedTuple):
    """How a photo is cut."""

    tile: int | None
    """Side of the tiles in pixels; None for the whole photo."""
    overlap: int = 0
    """Pixels that neighbouring tiles share."""


class Cutter:
    """Chooses the cut of photos for one network.

    Memory and reach of the network are measured once, when they are needed.

    Args:
        net: the network, on `device`.
        precision: as torch's autocast takes it; None for float32.
    """

    def __init__(self, net: nn.Module, device: torch.device, precision: torch.dtype | None = None):
        self.net, self.device, self.precision = net, device, precision
        self._logged: set[str] = set()

    def choose(
        self, longest: int, pixels: int, tile: Tile, overlap: int | None, batch: int = 1
    ) -> Cut:
        """Return the cut of a photo whose longer side is `longest`.

        Args:
            longest, pixels: longer side and area of the photo in pixels.
            tile, overlap: the values that the user gave; an `overlap` of None is chosen here.
            batch: number of tiles that go through the network together.

        Raises:
            WxrError: the overlap is not smaller than the tiles.
        """
        if tile is None or (tile == AUTO and self._fits(longest, pixels)):
            return Cut(None)
        side = tile if isinstance(tile, int) else self.largest_tile(batch)
        if longest <= side:
            return Cut(None)
        cut = Cut(side, self.overlap(side) if overlap is None else overlap)
        if cut.overlap >= side:
            raise WxrError(
                f"tiles of {side} pixels cannot share {overlap}: give a smaller --overlap, or none"
            )
        self._warn(cut, tile == AUTO)
        return cut

    def largest_tile(self, batch: int = 1) -> int:
        """Return the side in pixels of the largest tile that fits by the estimate."""
        budget = memory.budget(self.device)
        return max(LEAST_TILE, self.footprint.side(budget, batch))

    def overlap(self, tile: int) -> int:
        """Return the default number of pixels that neighbouring tiles share.

        Tiles equal the whole photo if `receptive_field` pixels around the used part of each are
        computed too. If that takes more than half of a tile, `visible_reach` has to do. Networks
        that depend on the whole image get an eighth of a tile.
        """
        if reach.whole_image_part(self.net):
            # No overlap makes these tiles equal to the whole, so it only has to smooth the seams.
            return _rounded(tile // 8)
        # A margin on both sides, and between them the strip on which two tiles are blended.
        exact = 2 * self.receptive_field + BLEND
        if exact <= max(tile // 2, 2 * BLEND):
            return min(_rounded(exact), tile // 2)
        visible = 2 * min(self.visible_reach, self.receptive_field) + BLEND
        # More than half of a tile would compute every pixel more than four times.
        return min(_rounded(visible), tile // 2)

    @cached_property
    def footprint(self) -> memory.Footprint:
        """Memory that the network takes."""
        with torch.inference_mode():
            return memory.measure_footprint(self._run, self.device)

    @cached_property
    def receptive_field(self) -> int:
        """Value of `reach.receptive_field` for the network, in pixels."""
        return self._measured(reach.receptive_field)

    @cached_property
    def visible_reach(self) -> int:
        """Value of `reach.visible_reach` for the network, in pixels."""
        return self._measured(reach.visible_reach)

    def _measured(self, measure: Callable[[nn.Module], int]) -> int:
        """Return `measure(net)`, or UNKNOWN with a warning if the network fails on noise."""
        try:
            return measure(self.net)
        except Exception as error:  # third-party networks raise anything
            self._warn_once(
                f"how far {type(self.net).__name__} looks cannot be measured "
                f"({type(error).__name__}); give --overlap"
            )
            return UNKNOWN

    def _fits(self, longest: int, pixels: int) -> bool:
        """Return whether a whole photo fits into memory by the estimate."""
        if longest <= SMALL:
            return True
        return self.footprint.bytes(pixels) <= memory.budget(self.device)

    def _run(self, image: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not None):
            return network_checks.call(self.net, image)

    def _warn(self, cut: Cut, is_chosen: bool) -> None:
        """Warn once that photos are cut to fit into memory, and that seams may show."""
        if is_chosen:
            self._warn_once(
                f"whole photos do not fit into memory; tiles of {cut.tile} pixels do, sharing "
                f"{cut.overlap}"
            )
        name = type(self.net).__name__
        part = reach.whole_image_part(self.net)
        if part:
            self._warn_once(
                f"{name} depends on the whole image ({part}), so tiles may differ in tone where "
                "they meet; a larger tile makes that less, none (--tile 0) avoids it"
            )
        elif not self._is_enough(margin(cut.overlap)):
            sufficient = _rounded(2 * self.visible_reach + BLEND)
            self._warn_once(
                f"{name} looks up to {self.visible_reach} pixels far and tiles share "
                f"{cut.overlap}, so seams may show; --overlap {sufficient} avoids them"
            )

    def _is_enough(self, pixels: int) -> bool:
        """Return whether a margin of `pixels` around the used part of a tile hides the seams."""
        # Where the receptive field is in the table, it may spare the measurement of the reach.
        known_field = reach.known(self.net)
        if known_field is not None and pixels >= known_field:
            return True
        return pixels >= self.visible_reach

    def _warn_once(self, line: str) -> None:
        if line not in self._logged:
            self._logged.add(line)
            _LOG.warning(line)


def _rounded(pixels: int, multiple: int = 32) -> int:
    # Floor division of the negative number rounds up.
    return -(-pixels // multiple) * multiple
