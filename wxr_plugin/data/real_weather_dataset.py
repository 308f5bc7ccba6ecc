"""Real photos with weather and no ground truth."""

from functools import partial
from typing import Any, Literal

import numpy as np
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY

from wxr_plugin.data.crops import crop, fixed_boxes, to_tensor
from wxr_plugin.data.real_photos import RealPhotos, crop_key
from wxr_plugin.data.weather_dataset import Item, WeatherDataset, open_store
from wxr_plugin.errors import OptionError
from wxr_plugin.schema import AtLeastOne, Block, ExistingPath, NeededInTraining, NotNegative


class RealWeatherOptions(Block):
    """Options of RealWeatherDataset."""

    dataroot: ExistingPath | dict[Literal["clear", "rain", "haze", "snow"], ExistingPath]
    """Folder or .lmdb of photos, or one for each weather: {rain: …, haze: …, snow: …}."""
    gt_size: NeededInTraining[AtLeastOne | None] = None
    """Side of the training crops, in pixels; smaller photos are filled up by reflection."""
    boxes_per_image: AtLeastOne = 4
    """Places of a photo that training crops come from; always the same, because their ratings are kept."""
    cache: bool = False
    """Keep the encoded files of folders in memory."""
    max_bad: NotNegative = 10
    """Photos that may turn out unreadable; each is named and another takes its place."""


@DATASET_REGISTRY.register()
class RealWeatherDataset(WeatherDataset):
    """Items: lq, float32 RGB (3, H, W) in [0, 1]; lq_path; weather, an index of WEATHERS or -1 where unknown; key.

    The weather is that of the entry in `dataroot`, or of the sub-folder (rain/…). In training, the
    weathers come equally often, lq is the crop at one of the photo's fixed boxes, never turned or
    mirrored, and key is `photo@left,top,right,bottom`; else lq is the whole photo and key its name.
    The photo's name is its key in the folder or LMDB, below the weather's name where there is a
    root for each.

    Raises:
        WxrError: a root holds no images.
    """

    Options = RealWeatherOptions

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        if self.training and self.options.gt_size is None:
            raise OptionError(
                f"dataset {opt.get('name')}: training needs gt_size, the side of the crops in "
                f"pixels"
            )
        self.real = RealPhotos(
            self.options.dataroot, partial(open_store, opt, cache=self.options.cache)
        )
        for folder in self.real.empty:
            get_root_logger().warning(
                f"{folder}: no images in it, so there are no photos of this weather"
            )
        photos = self.real.photos
        self.names = [photo.key for photo in photos]
        self.use(
            [(photo.store, photo.name) for photo in photos], [photo.weather for photo in photos]
        )

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """The sample at `index`, with the box (and the photo, where that one is bad) taken from `rng`."""
        number, image = self.quota.first_good(index, self.numbers, rng, self._read)
        key = self.names[number]
        if self.training:
            size, count = self.options.gt_size, self.options.boxes_per_image
            box = fixed_boxes(key, *image.shape[:2], size, count)[rng.integers(count)]
            image, key = crop(image, box, size), crop_key(key, box)
        return {
            "lq": to_tensor(image),
            "lq_path": self.path(number),
            "weather": self.weathers[number],
            "key": key,
        }

    def _read(self, number: int) -> np.ndarray:
        store, key = self.photos[number]
        return store.read(key)
