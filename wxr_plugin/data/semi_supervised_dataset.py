"""Both streams of semi-supervised training in one dataset, so that BasicSR's own pipeline drives it."""

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


class PairedPart(PairedWeatherOptions):
    """The paired stream: options of PairedWeatherDataset."""

    gt_size: AtLeastOne | None = None
    """Side of this stream's crops; by default gt_size beside `paired`."""


class RealPart(RealWeatherOptions):
    """The stream of real photos: options of RealWeatherDataset."""

    gt_size: AtLeastOne | None = None
    """Side of this stream's crops; by default gt_size beside `real`."""


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
    """Items: those of PairedWeatherDataset, and with them a crop of a real photo: real (3, h, w), real_key
    (`photo@left,top,right,bottom`), real_path, real_weather.

    An epoch passes over the pairs; the real photo is drawn beside, all weathers equally often. For
    training only.

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
        shared = {key: opt[key] for key in _SHARED if key in opt}
        self.paired = PairedWeatherDataset(
            {**shared, "type": "PairedWeatherDataset", **opt["paired"]}
        )
        self.real = RealWeatherDataset({**shared, "type": "RealWeatherDataset", **opt["real"]})

    def __len__(self) -> int:
        return len(self.paired)

    def __getitem__(self, index: int) -> Item:
        return self.draw(index, np.random.default_rng(np.random.randint(1 << 31)))

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """The pair at `index` and a real photo of any index, with everything random taken from `rng`."""
        pair = self.paired.draw(index, rng)
        real = self.real.draw(int(rng.integers(len(self.real))), rng)
        names = {"lq": "real", "key": "real_key", "lq_path": "real_path", "weather": "real_weather"}
        return pair | {names[key]: value for key, value in real.items()}
