"""Metrics of a whole set of images: what one image adds, and how the shares become a figure."""

from collections.abc import Sequence
from typing import NoReturn, Self

from wxr_plugin.errors import OptionError


class SetShare:
    """What one image adds to a metric that only a whole set has, such as FID.

    A registered metric returns a subclass's instance in place of a number. WxrModel gathers them
    from all ranks and asks `over` for the figure: of the set, and of each degradation or weather in
    it. Shares must be picklable.
    """

    @classmethod
    def over(cls, shares: Sequence[Self]) -> float:
        """The figure of the images with these shares; NaN where they are too few."""
        raise NotImplementedError

    def __radd__(self, other: object) -> NoReturn:
        """Models that sum up a metric image by image cannot have this one."""
        raise OptionError(
            "a metric of a whole set is not a mean over images; validate with model_type: WxrModel"
        )
