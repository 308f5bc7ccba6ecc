"""Both streams of semi-supervised training in one dataset, which BasicSR's pipeline can drive."""

from typing import Any

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY
from torch.utils.data import Dataset

from wxr_plugin.data.paired_weather_dataset import PairedWeatherDataset, PairedWeatherOptions
from wxr_plugin.data.real_weather_dataset import RealWeatherDataset, RealWeatherOptions
from wxr_plugin.data.weather_dataset import Item
from wxr_plugin.errors import OptionError
from wxr_plugin.schema import AtLeastOne, Block

_SHARED = ("name", "phase", "scale", "io_backend", "gt_size", "mean", "std")
_REAL_KEYS = {
    "lq": "real",
    "key": "real_key",
    "lq_path": "real_path",
    "weather": "real_weather",
    "context": "real_context",
    "context_key": "real_context_key",
}
"""Entry of an item of RealWeatherDataset -> its name in the joint item."""


class PairedPart(PairedWeatherOptions):
    """The paired stream: options of PairedWeatherDataset."""

    gt_size: AtLeastOne | None = None
    """Side of this stream's crops; defaults to the gt_size next to `paired`."""


class RealPart(RealWeatherOptions):
    """The stream of real photos: options of RealWeatherDataset."""

    gt_size: AtLeastOne | None = None
    """Side of this stream's crops; defaults to the gt_size next to `real`."""


class SemiSupervisedOptions(Block):
    """Options of SemiSupervisedDataset."""

    paired: PairedPart
    """Pairs, or clean photos with synthetic weather."""
    real: RealPart
    """Real photos without ground truth."""
    gt_size: AtLeastOne | None = None
    """Side of the crops of both streams, in pixels."""


@DATASET_REGISTRY.register()
class SemiSupervisedDataset(Dataset):
    """Dataset of a pair and a crop of a real photo in each item; for training only.

    An item has the entries of PairedWeatherDataset, and real (3, h, w), real_key
    (`photo@left,top,right,bottom`), real_path and real_weather; with `real.context`, also
    real_context and real_context_key.

    An epoch iterates over the pairs; the real photo is drawn at random, all weathers equally often.

    Raises:
        WxrError: as the two datasets do.
    """

    Options = SemiSupervisedOptions
    unpaired = staticmethod(PairedWeatherDataset.unpaired)

    def __init__(self, opt: dict[str, Any]):
        super().__init__()
        self.opt = opt
        SemiSupervisedOptions.read(opt)
        if opt["phase"] != "train":
            raise OptionError(
                f"dataset {opt.get('name')}: validate with PairedWeatherDataset or "
                f"RealWeatherDataset"
            )
        # Options of a stream override those next to it.
        shared = {key: opt[key] for key in _SHARED if key in opt}
        paired = {**shared, "type": "PairedWeatherDataset", **opt["paired"]}
        real = {**shared, "type": "RealWeatherDataset", **opt["real"]}
        self.paired = PairedWeatherDataset(paired)
        self.real = RealWeatherDataset(real)

    def __len__(self) -> int:
        return len(self.paired)

    def __getitem__(self, index: int) -> Item:
        seed = np.random.randint(1 << 31)
        rng = np.random.default_rng(seed)
        return self.draw(index, rng)

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """Return the pair at `index` with a random real photo, everything random from `rng`."""
        pair = self.paired.draw(index, rng)
        real_index = int(rng.integers(len(self.real)))
        real = self.real.draw(real_index, rng)
        return pair | {_REAL_KEYS[key]: value for key, value in real.items()}
