"""Cache for features of images that occur repeatedly, with a memory limit."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor


class FeatureCache:
    """Least-recently-used cache of tensors by key.

    A key has to name everything that the features depend on: the name of the image, its content (a
    pseudo-label changes) and further settings of the caller. Features stay on the device they were
    computed on.

    Args:
        megabytes: limit on the size of all cached tensors, in 10^6 bytes; 0 disables the cache.
    """

    def __init__(self, megabytes: float):
        self.limit = int(megabytes * 1e6)
        self.bytes = 0
        """Size of the cached tensors."""
        self.hits = self.misses = 0
        """Numbers of features that were cached and that had to be computed."""
        self._cached: OrderedDict[Hashable, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cached)

    def features(self, keys: Sequence[Hashable], compute: Callable[[list[int]], Tensor]) -> Tensor:
        """Return features (N, …) for N keys.

        Args:
            keys: one key per image; a key may occur several times.
            compute: takes the positions in `keys` of M features that are not cached and returns
                these features (M, …). It is called without gradients, once, with one position per
                distinct key, or not at all when everything is cached. All features have one shape.
        """
        first: dict[Hashable, int] = {}
        for position, key in enumerate(keys):
            first.setdefault(key, position)
        new = [position for key, position in first.items() if key not in self._cached]
        self.hits += len(keys) - len(new)
        self.misses += len(new)
        # Taken before anything is added, which may evict some of them.
        features = {key: self._use(key) for key in first if key in self._cached}
        if new:
            with torch.no_grad():
                computed = compute(new).detach()
            for position, row in zip(new, computed, strict=True):
                features[keys[position]] = row
                self._add(keys[position], row)
        return torch.stack([features[key] for key in keys])

    def clear(self) -> None:
        """Remove all features."""
        self._cached.clear()
        self.bytes = 0

    def _use(self, key: Hashable) -> Tensor:
        self._cached.move_to_end(key)
        return self._cached[key]

    def _add(self, key: Hashable, row: Tensor) -> None:
        if row.nbytes > self.limit:
            return
        self._cached[key] = row.clone()  # a view would keep the whole batch alive
        self.bytes += row.nbytes
        while self.bytes > self.limit:
            _, oldest = self._cached.popitem(last=False)
            self.bytes -= oldest.nbytes
