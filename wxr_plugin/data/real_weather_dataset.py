"""Real photos with weather, without ground truth."""

from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY

from wxr_plugin.data.crops import Box, crop, fixed_boxes, to_tensor
from wxr_plugin.data.real_photos import RealPhotos, crop_key
from wxr_plugin.data.weather_dataset import Item, WeatherDataset, open_store
from wxr_plugin.errors import OptionError
from wxr_plugin.schema import AtLeastOne, Block, ExistingPath, NeededInTraining, NotNegative


class RealWeatherOptions(Block):
    """Options of RealWeatherDataset."""

    dataroot: ExistingPath | dict[Literal["clear", "rain", "haze", "snow"], ExistingPath]
    """Folder or .lmdb of photos, or one for each weather: {rain: …, haze: …, snow: …}."""
    gt_size: NeededInTraining[AtLeastOne | None] = None
    """Side of the training crops, in pixels; smaller photos are padded by reflection."""
    boxes_per_image: AtLeastOne = 4
    """Number of fixed boxes of a photo that training crops are cut at.

    The boxes never change, because the ratings of their crops are stored.
    """
    context: NotNegative = 0
    """Pixels around a training crop that items have as well, for `train.rating.context`."""
    cache: bool = False
    """Keep the encoded files of folders in memory."""
    max_bad: NotNegative = 10
    """Number of photos that may be unreadable; each is logged and replaced by another."""


@DATASET_REGISTRY.register()
class RealWeatherDataset(WeatherDataset):
    """Dataset of real photos, in training of crops at their fixed boxes.

    An item has lq, float32 RGB (3, H, W) in [0, 1]; lq_path; weather, an index of WEATHERS or -1 if
    unknown; and key.

    The weather is that of the entry in `dataroot`, or of the sub-folder (rain/…). In training, the
    weathers come equally often, lq is the crop at one of the photo's fixed boxes, never turned or
    mirrored, and key is `photo@left,top,right,bottom`; otherwise lq is the whole photo and key its
    name. The photo's name is its key in the folder or LMDB, below the weather's name if each
    weather has its own root.

    With the option `context`, a training item also has context, uint8 RGB (3, S, S) with
    S = gt_size + 2 context: the crop with its surroundings, cut at the borders of the photo and
    filled up with black at the right and the bottom; and context_key, which names their place like
    the key of a crop.

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
        open_root = partial(open_store, opt, cache=self.options.cache)
        self.real = RealPhotos(self.options.dataroot, open_root)
        for folder in self.real.empty:
            get_root_logger().warning(
                f"{folder}: no images in it, so there are no photos of this weather"
            )
        photos = self.real.photos
        self.names = [photo.key for photo in photos]
        places = [(photo.store, photo.name) for photo in photos]
        self.use(places, [photo.weather for photo in photos])

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """Return the sample at `index`, with the box, and a replacement photo, from `rng`."""
        number, image = self.quota.first_good(index, self.numbers, rng, self._read)
        key = self.names[number]
        surroundings: Item = {}
        if self.training:
            box = self._draw_box(key, image.shape, rng)
            surroundings = self._surroundings(key, image, box)
            image = crop(image, box, self.options.gt_size)
            key = crop_key(key, box)
        return {
            "lq": to_tensor(image),
            "lq_path": self.path(number),
            "weather": self.weathers[number],
            "key": key,
            **surroundings,
        }

    def _draw_box(self, key: str, shape: tuple[int, ...], rng: np.random.Generator) -> Box:
        # The key of a crop is also the key of its stored ratings, so boxes must not be random.
        count = self.options.boxes_per_image
        boxes = fixed_boxes(key, *shape[:2], self.options.gt_size, count)
        return boxes[rng.integers(count)]

    def _surroundings(self, key: str, image: np.ndarray, box: Box) -> Item:
        """Return the entries context and context_key of the crop at `box`; none without context."""
        pixels = self.options.context
        if not pixels:
            return {}
        outer = box.grown(pixels, *image.shape[:2])
        part = image[outer.top : outer.bottom, outer.left : outer.right]
        # Photos end at different sides, and a batch needs pictures of one size.
        side = self.options.gt_size + 2 * pixels
        picture = np.zeros((side, side, 3), np.uint8)
        picture[: part.shape[0], : part.shape[1]] = part
        tensor = torch.from_numpy(picture).permute(2, 0, 1)
        return {"context": tensor, "context_key": crop_key(key, outer)}

    def _read(self, number: int) -> np.ndarray:
        store, key = self.photos[number]
        return store.read(key)
