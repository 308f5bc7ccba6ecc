"""Pairs of photos with weather and clean ones: both given, or weather drawn on clean photos."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import cv2
import msgspec
import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY

from wxr_plugin.data.choice import UNKNOWN, weather_of
from wxr_plugin.data.crops import Turn, augmented, crop, random_box, to_float, to_tensor
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.data.pairs import partner, unpaired
from wxr_plugin.data.weather.styles import STYLES
from wxr_plugin.data.weather.synthesis import WEATHERS, add_weather
from wxr_plugin.data.weather_dataset import (
    Item,
    WeatherDataset,
    open_store,
    refuse_unequal_sizes,
)
from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.schema import AtLeastOne, Block, ExistingPath, NeededInTraining, NotNegative

Kind = Literal["rain", "haze", "snow", "clear"]
Severity = Annotated[float, msgspec.Meta(ge=0, le=1)]
UNKNOWN_SEVERITY = -1.0
Images = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]
"""gt and lq, uint8 RGB (H, W, 3), and depth, float32 (H, W)."""


class SyntheticOptions(Block):
    """Weather drawn on clean photos; see `wxr_plugin.data.weather.synthesis`."""

    kinds: Annotated[tuple[Kind, ...], msgspec.Meta(min_length=1)] = ("rain", "haze", "snow")
    """Drawn equally often; a validation set cycles over them."""
    severity: tuple[Severity, Severity] = (0.1, 1.0)
    """Lowest and highest severity, drawn uniformly."""
    style: str | tuple[str, ...] = "default"
    """Style of the weather: default, published, realistic, shifted, or a plug-in's (add_style).

    realistic is closest to photographs, published to the synthetic sets of papers; shifted differs
    from default in directions, sizes and colours, and is harder. From a list, a style is drawn for
    every picture.
    """
    drawn_on: AtLeastOne | None = None
    """Side in pixels of the crop that gets the weather in training; gt_size is cut out of it.

    gt_size by default. With a larger side, a training crop shows a part of a scene's veil and
    depth, as a crop of a photo does, instead of all of it.
    """

    def __post_init__(self) -> None:
        if not self.styles:
            raise ValueError(f"style is an empty list: name one or more of {', '.join(STYLES)}")
        for style in self.styles:
            if style not in STYLES:
                raise ValueError(
                    f"unknown style {style!r}: take one of {', '.join(STYLES)}, or list its plug-in"
                )

    @property
    def styles(self) -> tuple[str, ...]:
        """Styles to draw from."""
        if isinstance(self.style, str):
            return (self.style,)
        return self.style

    def draw_style(self, rng: np.random.Generator) -> str:
        """Return one of the styles, all equally likely; a single style takes nothing from `rng`."""
        styles = self.styles
        if len(styles) == 1:
            return styles[0]
        number = rng.integers(len(styles))
        return styles[number]


class PairedWeatherOptions(Block):
    """Options of PairedWeatherDataset: either dataroot_lq or synthetic."""

    dataroot_gt: ExistingPath
    """Folder or .lmdb of clean photos."""
    dataroot_lq: ExistingPath | None = None
    """Folder or .lmdb of the same photos with weather, with the same names except for suffixes.

    For other names see filename_tmpl.
    """
    filename_tmpl: str = "{}"
    """Name of the photo with weather, without suffix; {} stands for the clean photo's name."""
    gt_tmpl: str = "{}"
    """Name of the clean photo if {} is only a part of it: norain{}, with filename_tmpl: input{}."""
    weather: Literal["clear", "rain", "haze", "snow"] | None = None
    """Weather of photos of dataroot_lq that lie in no sub-folder of a weather (rain/…).

    Unknown by default.
    """
    synthetic: SyntheticOptions | None = None
    """Draw the weather on the fly, instead of dataroot_lq."""
    dataroot_depth: ExistingPath | None = None
    """Depth maps for synthetic weather, with names as in dataroot_gt.

    They have 8 or 16 bits grey; brighter is farther.
    """
    gt_size: NeededInTraining[AtLeastOne | None] = None
    """Side of the training crops, in pixels; smaller photos are padded by reflection."""
    use_hflip: bool = True
    """Mirror half of the training crops."""
    use_rot: bool = False
    """Turn training crops upside down and transpose them, half of them each."""
    cache: bool = False
    """Keep the encoded files of folders in memory."""
    max_bad: NotNegative = 10
    """Number of photos that may be unreadable; each is logged and replaced by another."""


@DATASET_REGISTRY.register()
class PairedWeatherDataset(WeatherDataset):
    """Dataset of pairs, or of clean photos with synthetic weather.

    An item has lq and gt, float32 RGB (3, H, W) in [0, 1]; lq_path and gt_path; weather, an index
    of WEATHERS or -1 if unknown; severity in [0, 1], or -1.0 if unknown.

    In training, items are crops of gt_size; otherwise whole photos, and synthetic weather depends
    on the index alone. If photos lie in sub-folders named after weathers, training takes these
    equally often.

    Raises:
        WxrError: roots hold no images or different ones; options contradict each other.
    """

    Options = PairedWeatherOptions

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        options = self.options
        _check(opt.get("name"), options, self.training)
        self.templates = (options.filename_tmpl, options.gt_tmpl)
        self.gt = open_store(opt, options.dataroot_gt, options.cache)
        self.lq: ImageStore | None = None
        if options.dataroot_lq:
            self.lq = open_store(opt, options.dataroot_lq, options.cache)
        self.depth: ImageStore | None = None
        if options.dataroot_depth:
            self.depth = ImageStore(options.dataroot_depth, options.cache)
        self._check_partners()
        keys = self.gt.keys()
        photos = [(self.gt, key) for key in keys]
        self.use(photos, self._weathers(keys))

    @property
    def side(self) -> int:
        """Side in pixels of the crop that is cut out of a photo in training, before the weather."""
        synthetic = self.options.synthetic
        if synthetic is None or synthetic.drawn_on is None:
            return self.options.gt_size
        return synthetic.drawn_on

    def _weathers(self, keys: list[str]) -> list[int]:
        if self.lq is None:
            return [UNKNOWN] * len(keys)  # drawn for every sample
        otherwise = UNKNOWN
        if self.options.weather:
            otherwise = WEATHERS.index(self.options.weather)
        return [weather_of(key, otherwise) for key in keys]

    @staticmethod
    def unpaired(block: Mapping[str, Any]) -> str:
        """Describe the unpaired images of an option block that has both roots; empty if none."""
        try:
            gt, lq, templates = _roots_of(block)
        except WxrError as error:
            return str(error)
        return unpaired(gt, lq, *templates)

    @staticmethod
    def pair_names(block: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the names below dataroot_gt and dataroot_lq of each pair of an option block.

        Names in an LMDB are keys. Raises WxrError as the dataset does for its roots.
        """
        gt, lq, templates = _roots_of(block)
        lq_keys = set(lq.keys())
        names = []
        for gt_key in gt.keys():  # noqa: SIM118  a store's method
            lq_key = partner(gt_key, *templates)
            if lq_key in lq_keys:
                names.append((gt.name(gt_key), lq.name(lq_key)))
        return names

    def _check_partners(self) -> None:
        if self.lq:
            problem = unpaired(self.gt, self.lq, *self.templates)
            if problem:
                raise OptionError(f"{problem}; give each image its partner")
        if self.depth:
            missing = set(self.gt.keys()) - set(self.depth.keys())
            if missing:
                raise OptionError(
                    f"{self.depth.root} lacks {len(missing)} depth maps, such as {min(missing)}; "
                    f"add them"
                )

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """Return the sample at `index`; replacement photo, crop, turn and weather from `rng`."""
        number, images = self.quota.first_good(index, self.numbers, rng, self._read)
        if self.training:
            images = self._augment(images, rng)
        gt, lq, depth = images
        weather = self.weathers[number]
        severity = UNKNOWN_SEVERITY
        if lq is None:
            lq, weather, severity = self._add_weather(gt, depth, index, rng)
            if self.training and self.side > self.options.gt_size:
                box = random_box(*gt.shape[:2], self.options.gt_size, rng)
                gt, lq = (crop(image, box, self.options.gt_size) for image in (gt, lq))
        return {
            "lq": to_tensor(lq),
            "gt": to_tensor(gt),
            "weather": weather,
            "severity": severity,
            "lq_path": self._lq_path(number),
            "gt_path": self.path(number),
        }

    def _lq_path(self, number: int) -> str:
        _, key = self.photos[number]
        if self.lq is None:
            return self.gt.path(key)
        lq_key = partner(key, *self.templates)
        return self.lq.path(lq_key)

    def _read(self, number: int) -> Images:
        """Return gt, and lq and depth if there are any, all of one size."""
        _, key = self.photos[number]
        gt = self.gt.read(key)
        lq = None
        if self.lq:
            lq_key = partner(key, *self.templates)
            lq = self.lq.read(lq_key)
            refuse_unequal_sizes(lq, gt, self._lq_path(number))
        depth = None
        if self.depth:
            depth = self.depth.read_depth(key)
            height, width = gt.shape[:2]
            # Depth estimators work at their own resolution; depth varies slowly enough to enlarge.
            if depth.shape != (height, width):
                depth = cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)
        return gt, lq, depth

    def _augment(self, images: Images, rng: np.random.Generator) -> list[np.ndarray | None]:
        """Apply one box and one turn to all of `images`, while they still have 8 bits."""
        options = self.options
        height, width = images[0].shape[:2]
        box = random_box(height, width, self.side, rng)
        turn = Turn.draw(rng, options.use_hflip, options.use_rot)
        return augmented(images, box, self.side, turn)

    def _add_weather(
        self,
        gt: np.ndarray,
        depth: np.ndarray | None,
        index: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, int, float]:
        """Return gt with synthetic weather, the weather's index in WEATHERS, and its severity."""
        synthetic = self.options.synthetic
        kinds = synthetic.kinds
        number = index % len(kinds)
        if self.training:
            number = rng.integers(len(kinds))
        kind = kinds[number]
        severity = float(rng.uniform(*synthetic.severity))
        style = synthetic.draw_style(rng)
        lq = add_weather(to_float(gt), kind, severity, rng, style, depth)
        if kind == "clear":
            severity = 0.0
        return lq, WEATHERS.index(kind), severity


def _roots_of(block: Mapping[str, Any]) -> tuple[ImageStore, ImageStore, tuple[str, str]]:
    """Return the stores of gt and lq and the two templates of an option block."""
    gt = ImageStore(block["dataroot_gt"])
    lq = ImageStore(block["dataroot_lq"])
    templates = (block.get("filename_tmpl", "{}"), block.get("gt_tmpl", "{}"))
    return gt, lq, templates


def _check(name: str | None, options: PairedWeatherOptions, training: bool) -> None:
    if (options.dataroot_lq is None) == (options.synthetic is None):
        raise OptionError(f"dataset {name}: give either dataroot_lq or synthetic")
    if options.synthetic is None and options.dataroot_depth:
        raise OptionError(
            f"dataset {name}: dataroot_depth is used by synthetic weather only; take it out"
        )
    if options.synthetic and options.synthetic.severity[0] > options.synthetic.severity[1]:
        raise OptionError(
            f"dataset {name}: severity {options.synthetic.severity} goes from high to low; swap "
            f"the two"
        )
    if options.synthetic and options.weather:
        raise OptionError(f"dataset {name}: synthetic weather has its own kinds; take weather out")
    if training and options.gt_size is None:
        raise OptionError(
            f"dataset {name}: training needs gt_size, the side of the crops in pixels"
        )
    drawn_on = options.synthetic and options.synthetic.drawn_on
    if training and drawn_on and drawn_on < options.gt_size:
        raise OptionError(
            f"dataset {name}: synthetic.drawn_on, {drawn_on} px, is smaller than gt_size, "
            f"{options.gt_size} px; raise it or leave it out"
        )
