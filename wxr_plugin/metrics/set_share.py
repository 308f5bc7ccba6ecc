"""Metrics of a whole set of images: the share of one image, and the figure from all shares."""

from collections.abc import Sequence
from typing import NoReturn, Self

from wxr_plugin.errors import OptionError


class SetShare:
    """Share of one image in a metric that is defined for a set only, such as FID.

    A registered metric returns an instance of a subclass instead of a number. WxrModel gathers them
    from all ranks and calls `over` for the figure of the set and of each degradation or weather in
    it. Shares must be picklable.
    """

    @classmethod
    def over(cls, shares: Sequence[Self]) -> float:
        """Return the figure of the images with these shares; NaN if they are too few."""
        raise NotImplementedError

    def __radd__(self, other: object) -> NoReturn:
        """Raise OptionError: a model that sums a metric over images cannot use this one."""
        raise OptionError(
            "a metric of a whole set is not a mean over images; validate with model_type: WxrModel"
        )
