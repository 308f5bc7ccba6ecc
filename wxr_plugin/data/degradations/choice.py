"""Choice of the image and the degradation that an index stands for, for `data.choice.Quota`."""

import hashlib

import numpy as np


class Balanced:
    """Index -> number of a random image of the degradation that is due.

    `word` is the degradation of the last index.
    """

    word = ""

    def __init__(self, groups: list[tuple[str, list[int]]], size: int, rng: np.random.Generator):
        self.groups = groups
        self.size = size
        self.rng = rng

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        self.word, group = self.groups[index % len(self.groups)]
        place = self.rng.integers(len(group))
        return group[place]


class InOrder:
    """Index -> number of an image in the order of validation.

    `word` is the degradation of the last index.
    """

    word = ""

    def __init__(self, order: list[tuple[str, int]]):
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> int:
        self.word, number = self.order[index]
        return number


def rng_of(word: str, key: str) -> np.random.Generator:
    """Return the generator of a validation image, which depends on degradation and photo alone."""
    digest = hashlib.sha256(f"{word}/{key}".encode()).digest()
    seed = int.from_bytes(digest[:8], "little")
    return np.random.default_rng(seed)
