"""Pairs of a weather-ridden and a clean photo: both given, or the weather drawn on clean photos on the fly."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import cv2
import msgspec
import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY

from wxr_plugin.data.choice import UNKNOWN, weather_of
from wxr_plugin.data.crops import Turn, crop, random_box, to_float, to_tensor
from wxr_plugin.data.images.io import BadImageError
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.data.pairs import partner, unpaired
from wxr_plugin.data.weather.styles import STYLES
from wxr_plugin.data.weather.synthesis import WEATHERS, add_weather
from wxr_plugin.data.weather_dataset import Item, WeatherDataset, open_store
from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.schema import AtLeastOne, Block, ExistingPath, NeededInTraining, NotNegative

Kind = Literal["rain", "haze", "snow", "clear"]
Severity = Annotated[float, msgspec.Meta(ge=0, le=1)]
UNKNOWN_SEVERITY = -1.0


class SyntheticOptions(Block):
    """Weather drawn on clean photos; see `wxr_plugin.data.weather.synthesis`."""

    kinds: Annotated[tuple[Kind, ...], msgspec.Meta(min_length=1)] = ("rain", "haze", "snow")
    """Drawn equally often; a validation set takes turns over them."""
    severity: tuple[Severity, Severity] = (0.1, 1.0)
    """Lowest and highest severity, drawn uniformly."""
    style: str | tuple[str, ...] = "default"
    """realistic: closest to photographs; default; shifted: other directions, sizes and colours, and harder; or one that
    a plug-in adds (add_style). Of a list, one is drawn for every picture."""

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
        """The styles to draw from."""
        return (self.style,) if isinstance(self.style, str) else self.style

    def draw_style(self, rng: np.random.Generator) -> str:
        """Return one of the styles, all equally likely; takes nothing from `rng` if there is one only."""
        styles = self.styles
        return styles[0] if len(styles) == 1 else styles[rng.integers(len(styles))]


class PairedWeatherOptions(Block):
    """Options of PairedWeatherDataset: either dataroot_lq or synthetic."""

    dataroot_gt: ExistingPath
    """Folder or .lmdb of clean photos."""
    dataroot_lq: ExistingPath | None = None
    """Folder or .lmdb of the same photos with weather, under the same names (see filename_tmpl) but for the suffix."""
    filename_tmpl: str = "{}"
    """Name of the photo with weather, without suffix, where {} stands for the name of the clean one."""
    gt_tmpl: str = "{}"
    """Name of the clean photo where {} stands for a part of it only: norain{}, with filename_tmpl: input{}."""
    weather: Literal["clear", "rain", "haze", "snow"] | None = None
    """Weather of those photos of dataroot_lq whose sub-folder (rain/…) does not say it; by default unknown."""
    synthetic: SyntheticOptions | None = None
    """Draw the weather on the fly, in place of dataroot_lq."""
    dataroot_depth: ExistingPath | None = None
    """Depth maps for synthetic weather, names as in dataroot_gt: 8 or 16 bits grey, brighter is farther."""
    gt_size: NeededInTraining[AtLeastOne | None] = None
    """Side of the training crops, in pixels; smaller photos are filled up by reflection."""
    use_hflip: bool = True
    """Mirror half of the training crops."""
    use_rot: bool = False
    """Turn training crops upside down and transpose them, half of them each."""
    cache: bool = False
    """Keep the encoded files of folders in memory."""
    max_bad: NotNegative = 10
    """Photos that may turn out unreadable; each is named and another takes its place."""


@DATASET_REGISTRY.register()
class PairedWeatherDataset(WeatherDataset):
    """Items: lq and gt, float32 RGB (3, H, W) in [0, 1]; lq_path, gt_path; weather, an index of WEATHERS or -1 where
    unknown; severity in [0, 1], or -1.0 where unknown.

    In training, crops of gt_size; else whole photos, and synthetic weather depends on the index
    alone. Where photos lie in sub-folders named after weathers, training takes these equally often.

    Raises:
        WxrError: roots that hold no images, or not the same ones; options that contradict each
            other.
    """

    Options = PairedWeatherOptions

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        options = self.options
        _check(opt.get("name"), options, self.training)
        self.templates = options.filename_tmpl, options.gt_tmpl
        self.gt = open_store(opt, options.dataroot_gt, options.cache)
        self.lq = (
            open_store(opt, options.dataroot_lq, options.cache) if options.dataroot_lq else None
        )
        self.depth = (
            ImageStore(options.dataroot_depth, options.cache) if options.dataroot_depth else None
        )
        self._check_partners()
        keys = self.gt.keys()
        told = WEATHERS.index(options.weather) if options.weather else UNKNOWN
        weathers = [weather_of(key, told) if self.lq else UNKNOWN for key in keys]
        self.use([(self.gt, key) for key in keys], weathers)

    @staticmethod
    def unpaired(block: Mapping[str, Any]) -> str:
        """What does not pair in an option block that has both roots, in words; empty if all is well."""
        try:
            stores = [ImageStore(block[key]) for key in ("dataroot_gt", "dataroot_lq")]
            return unpaired(*stores, block.get("filename_tmpl", "{}"), block.get("gt_tmpl", "{}"))
        except WxrError as error:
            return str(error)

    @staticmethod
    def pair_names(block: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the names below dataroot_gt and dataroot_lq (keys for an LMDB) of each pair of an option block.

        Raises WxrError as the dataset does for its roots.
        """
        gt, lq = (ImageStore(block[key]) for key in ("dataroot_gt", "dataroot_lq"))
        templates = block.get("filename_tmpl", "{}"), block.get("gt_tmpl", "{}")
        keys, there = gt.keys(), set(lq.keys())
        partners = ((key, partner(key, *templates)) for key in keys)
        return [(gt.name(key), lq.name(other)) for key, other in partners if other in there]

    def _check_partners(self) -> None:
        fault = unpaired(self.gt, self.lq, *self.templates) if self.lq else ""
        if fault:
            raise OptionError(f"{fault}; give each image its partner")
        missing = set(self.gt.keys()) - set(self.depth.keys()) if self.depth else ()
        if missing:
            raise OptionError(
                f"{self.depth.root} lacks {len(missing)} depth maps, such as {min(missing)}; make "
                f"them"
            )

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """The sample at `index` with photo (where that one is bad), crop, turn and weather taken from `rng`."""
        number, images = self.quota.first_good(index, self.numbers, rng, self._read)
        gt, lq, depth = self._augment(images, rng) if self.training else images
        weather, severity = self.weathers[number], UNKNOWN_SEVERITY
        if lq is None:
            lq, weather, severity = self._add_weather(gt, depth, index, rng)
        item = {"lq": to_tensor(lq), "gt": to_tensor(gt), "weather": weather, "severity": severity}
        return item | {"lq_path": self._lq_path(number), "gt_path": self.path(number)}

    def _lq_path(self, number: int) -> str:
        key = self.photos[number][1]
        return self.lq.path(partner(key, *self.templates)) if self.lq else self.gt.path(key)

    def _read(self, number: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        key = self.photos[number][1]
        gt = self.gt.read(key)
        lq = self.lq.read(partner(key, *self.templates)) if self.lq else None
        if lq is not None and lq.shape != gt.shape:
            sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (lq, gt)]
            raise BadImageError(
                f"{self._lq_path(number)}: {sizes[0]} pixels, but its ground truth {sizes[1]}"
            )
        depth = self.depth.read_depth(key) if self.depth else None
        if depth is not None and depth.shape != gt.shape[:2]:
            depth = cv2.resize(depth, gt.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return gt, lq, depth

    def _augment(self, images: tuple, rng: np.random.Generator) -> list[np.ndarray | None]:
        """One box and one turn for all, while they still have 8 bits."""
        size = self.options.gt_size
        box = random_box(*images[0].shape[:2], size, rng)
        turn = Turn.draw(rng, self.options.use_hflip, self.options.use_rot)
        return [None if image is None else turn.apply(crop(image, box, size)) for image in images]

    def _add_weather(
        self, gt: np.ndarray, depth: np.ndarray | None, index: int, rng: np.random.Generator
    ):
        synthetic = self.options.synthetic
        choice = (
            rng.integers(len(synthetic.kinds)) if self.training else index % len(synthetic.kinds)
        )
        kind, severity = synthetic.kinds[choice], float(rng.uniform(*synthetic.severity))
        lq = add_weather(to_float(gt), kind, severity, rng, synthetic.draw_style(rng), depth)
        return lq, WEATHERS.index(kind), 0.0 if kind == "clear" else severity


def _check(name: str | None, options: PairedWeatherOptions, training: bool) -> None:
    if (options.dataroot_lq is None) == (options.synthetic is None):
        raise OptionError(f"dataset {name}: give either dataroot_lq or synthetic")
    if options.synthetic is None and options.dataroot_depth:
        raise OptionError(
            f"dataset {name}: dataroot_depth serves synthetic weather only; take it out"
        )
    if options.synthetic and options.synthetic.severity[0] > options.synthetic.severity[1]:
        raise OptionError(
            f"dataset {name}: severity {options.synthetic.severity} goes from high to low; swap "
            f"the two"
        )
    if options.synthetic and options.weather:
        raise OptionError(f"dataset {name}: synthetic weather knows its kind; take weather out")
    if training and options.gt_size is None:
        raise OptionError(
            f"dataset {name}: training needs gt_size, the side of the crops in pixels"
        )
