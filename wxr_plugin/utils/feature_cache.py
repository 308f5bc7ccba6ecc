"""Features of images that come again (pseudo-labels and photos at fixed boxes), kept within a memory bound."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor


class FeatureCache:
    """Tensors by key, at most `megabytes` (10^6 bytes) of them; the ones not used for longest go first.

    A key has to name all that the features depend on: the image's name, its content (a pseudo-label
    changes) and what else the caller varies. They stay on the device they were computed on. 0 keeps
    nothing.
    """

    def __init__(self, megabytes: float):
        self.limit = int(megabytes * 1e6)
        self.bytes = 0
        """What is kept now."""
        self.hits = self.misses = 0
        """How many features were found, and how many had to be computed."""
        self._kept: OrderedDict[Hashable, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def features(self, keys: Sequence[Hashable], compute: Callable[[list[int]], Tensor]) -> Tensor:
        """Features (N, …) for N keys.

        `compute` gets the positions of keys that are not kept, and returns theirs.

        It is called once, with each key once and without gradients, or not at all when everything
        is known. All features of a call must have one shape.
        """
        first = {key: position for position, key in reversed(list(enumerate(keys)))}
        new = sorted(position for key, position in first.items() if key not in self._kept)
        self.hits, self.misses = self.hits + len(keys) - len(new), self.misses + len(new)
        found = {key: self._use(key) for key in first if key in self._kept}
        if new:
            with torch.no_grad():
                computed = compute(new).detach()
            found |= {keys[position]: row for position, row in zip(new, computed, strict=True)}
            for position in new:
                self._keep(keys[position], found[keys[position]])
        return torch.stack([found[key] for key in keys])

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.bytes = 0

    def _use(self, key: Hashable) -> Tensor:
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: Hashable, row: Tensor) -> None:
        if row.nbytes > self.limit:
            return
        self._kept[key] = row.clone()  # a view would keep the whole batch alive
        self.bytes += row.nbytes
        while self.bytes > self.limit:
            self.bytes -= self._kept.popitem(last=False)[1].nbytes
