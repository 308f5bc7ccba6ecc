"""Choice of the photo that an index stands for: weathers in balance, unreadable photos replaced."""

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
"""Weather of a photo for which neither its folder nor an option gives one."""


def weather_of(key: str, otherwise: int = UNKNOWN) -> int:
    """Return the index in WEATHERS of a photo's top folder (rain/street), or `otherwise`."""
    folder, slash, _ = key.partition("/")
    if slash and folder in WEATHERS:
        return WEATHERS.index(folder)
    return otherwise


class ClassIndex:
    """List of photos by class, all classes equally often: index -> position of the photo.

    If balanced, its length is the number of classes times the size of the largest class;
    consecutive indices cycle over the classes, and smaller classes repeat. If not, it is the list
    as it stands.
    """

    def __init__(self, classes: Sequence[int], balanced: bool):
        positions: dict[int, list[int]] = {}
        for position, class_index in enumerate(classes):
            group = class_index if balanced else UNKNOWN
            positions.setdefault(group, []).append(position)
        self.groups = [positions[group] for group in sorted(positions)]

    def __len__(self) -> int:
        largest = max(len(group) for group in self.groups)
        return len(self.groups) * largest

    def __getitem__(self, index: int) -> int:
        # Consecutive indices cycle over the classes: index = round * number of classes + class.
        turn, class_number = divmod(index, len(self.groups))
        group = self.groups[class_number]
        return group[turn % len(group)]


class Quota:
    """Record of unreadable photos, shared by all workers of a loader; over `max_bad` it raises.

    Each process of a distributed training has its own record.

    Args:
        size: number of photos.
        max_bad: number of unreadable photos that are replaced by others.
        path: path of the photo with a given number, for messages.
    """

    def __init__(self, size: int, max_bad: int, path: Callable[[int], str]):
        # Shared memory: a photo that one worker process finds unreadable counts in all of them.
        self.bad = torch.zeros(size, dtype=torch.uint8).share_memory_()
        self.max_bad = max_bad
        self.path = path

    def first_good(
        self,
        index: int,
        numbers: ClassIndex,
        rng: np.random.Generator,
        read: Callable[[int], T],
    ) -> tuple[int, T]:
        """Return the number of the photo at `index` and `read(number)`.

        If that photo cannot be read, others are drawn from `rng`. The choice does not depend on
        whether the failure was recorded before, so that a sample depends on `rng` alone as long as
        `read` does not use it.

        Raises:
            WxrError: more than `max_bad` photos, or all of them, are bad; the message lists them.
        """
        while True:
            number = numbers[index]
            if not self.bad[number]:
                try:
                    return number, read(number)
                except BadImageError as error:
                    self._record(number, error)
            self._check()
            index = int(rng.integers(len(numbers)))

    def _record(self, number: int, error: BadImageError) -> None:
        # Another worker may have recorded the photo between the look at `bad` and the failure.
        if not self.bad[number]:
            self.bad[number] = 1
            count = int(self.bad.sum())
            get_root_logger().warning(f"left out, {count} of at most {self.max_bad}: {error}")

    def _check(self) -> None:
        bad = self.bad.nonzero().flatten().tolist()
        all_bad = len(bad) == len(self.bad)
        if len(bad) <= self.max_bad and not all_bad:
            return
        limit = f"more than max_bad: {self.max_bad} allows"
        if all_bad:
            limit = "all there are"
        paths = [self.path(number) for number in bad]
        lines = "\n  ".join(paths)
        raise WxrError(f"{len(bad)} images cannot be used, {limit}; fix or remove them:\n  {lines}")
