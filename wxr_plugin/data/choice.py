"""Which photo an index means: weathers in balance, and photos that cannot be read passed over within a quota."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from basicsr.utils import get_root_logger

from wxr_plugin.data.images.io import BadImageError
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.errors import WxrError

T = TypeVar("T")

UNKNOWN = -1
"""Weather of a photo that nobody told."""


def weather_of(key: str, otherwise: int = UNKNOWN) -> int:
    """Index in WEATHERS of the sub-folder that a photo lies in (rain/street), or `otherwise`."""
    folder, slash, _ = key.partition("/")
    return WEATHERS.index(folder) if slash and folder in WEATHERS else otherwise


class ClassIndex:
    """A list of photos by class, all classes equally often: index -> position of the photo.

    Balanced, its length is the number of classes times the size of the largest; neighbouring
    indices take turns over the classes, and smaller classes are gone through again. Unbalanced, it
    is the list as it stands.
    """

    def __init__(self, classes: Sequence[int], balanced: bool):
        found: dict[int, list[int]] = {}
        for position, name in enumerate(classes):
            found.setdefault(name if balanced else UNKNOWN, []).append(position)
        self.groups = [found[name] for name in sorted(found)]

    def __len__(self) -> int:
        return len(self.groups) * max(map(len, self.groups))

    def __getitem__(self, index: int) -> int:
        group = self.groups[index % len(self.groups)]
        return group[index // len(self.groups) % len(group)]


class Quota:
    """The photos that turned out bad, shared by all worker processes of a loader; more than `max_bad` end the training.

    Each process of a distributed training counts for itself. `path` gives the name of photo
    `number`.
    """

    def __init__(self, size: int, max_bad: int, path: Callable[[int], str]):
        self.bad = torch.zeros(size, dtype=torch.uint8).share_memory_()
        self.max_bad, self.path = max_bad, path

    def first_good(
        self, index: int, numbers: ClassIndex, rng: np.random.Generator, read: Callable[[int], T]
    ) -> tuple[int, T]:
        """The number of the photo at `index`, and `read(number)`; where that fails, of others that `rng` chooses.

        The choice is the same whether the failure was known before or not, so that a sample depends
        on `rng` alone as long as `read` does not use it.

        Raises:
            WxrError: more than `max_bad` photos, or all of them, are bad; it names them.
        """
        while True:
            number = numbers[index]
            if not self.bad[number]:
                try:
                    return number, read(number)
                except BadImageError as error:
                    self._count(number, error)
            self._check()
            index = int(rng.integers(len(numbers)))

    def _count(self, number: int, error: BadImageError) -> None:
        if not self.bad[number]:
            self.bad[number] = 1
            get_root_logger().warning(
                f"left out, {int(self.bad.sum())} of at most {self.max_bad}: {error}"
            )

    def _check(self) -> None:
        bad = self.bad.nonzero().flatten().tolist()
        if len(bad) > self.max_bad or len(bad) == len(self.bad):
            names = "\n  ".join(self.path(number) for number in bad)
            what = (
                f"more than max_bad: {self.max_bad} allows"
                if len(bad) < len(self.bad)
                else "all there are"
            )
            raise WxrError(
                f"{len(bad)} images cannot be used, {what}; mend or remove them:\n  {names}"
            )
