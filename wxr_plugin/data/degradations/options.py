"""Options of DegradationDataset."""

from typing import Annotated, Literal

import msgspec

from wxr_plugin.data.degradations.apply import severity_range
from wxr_plugin.data.degradations.wild_settings import WildOptions
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.errors import OptionError
from wxr_plugin.schema import AtLeastOne, Block, ExistingPath, NeededInTraining, NotNegative

WILD = "wild"
"""Name of the wild pipeline among the degradations of `synthetic`, and of its items."""

Word = Literal[DEGRADATIONS]
Severity = Annotated[float, msgspec.Meta(ge=0, le=1)]
Severities = tuple[Severity, Severity]


class SyntheticDegradations(Block):
    """Degradations drawn on clean photos; see `wxr_plugin.data.degradations.apply`."""

    degradations: Annotated[
        tuple[Literal[(*DEGRADATIONS, WILD)], ...], msgspec.Meta(min_length=1)
    ] = DEGRADATIONS
    """Degradations to draw; wild is the in-the-wild DA-CLIP's pipeline (docs/degradations.md)."""
    severity: Severities | dict[Word, Severities] | None = None
    """Lowest and highest severity, drawn uniformly: for all, or for each word.

    By default the published setting for noisy and jpeg-compressed (1: sigma 50, quality 10),
    [0.3, 0.8] for hazy, and [0.4, 1] for the others.
    """
    wild: WildOptions = WildOptions()
    """Files of the wild pipeline."""

    def __post_init__(self) -> None:
        ranges = self.severity
        if not isinstance(ranges, dict):
            ranges = {"all": ranges or (0, 1)}
        for word, (low, high) in ranges.items():
            if low > high:
                raise ValueError(f"severity of {word} goes from {low} down to {high}; swap the two")

    def range_of(self, word: str) -> tuple[float, float]:
        """Return lowest and highest severity of `word`."""
        severity = self.severity
        if isinstance(severity, dict):
            severity = severity.get(word)
        return severity or severity_range(word)


class DegradationOptions(Block):
    """Options of DegradationDataset: dataroot, or dataroot_gt with synthetic, or all of them."""

    dataroot: ExistingPath | None = None
    """Folder of pairs, <dataroot>/{train,val}/<degradation>/{LQ,GT}.

    Each LQ and GT is a folder or an LMDB (LQ.lmdb).
    """
    split: Literal["train", "val"] | None = None
    """Part of dataroot; by default train in training, otherwise val."""
    degradations: Annotated[tuple[Word, ...], msgspec.Meta(min_length=1)] | None = None
    """Degradations to take from dataroot; by default all that it has."""
    check_names: bool = True
    """Refuse pairs whose names contain different numbers.

    Images are paired in the order of their names.
    """
    dataroot_gt: ExistingPath | None = None
    """Folder or .lmdb of clean photos for synthetic."""
    synthetic: SyntheticDegradations | None = None
    """Draw degradations on the photos of dataroot_gt on the fly."""
    gt_size: NeededInTraining[AtLeastOne | None] = None
    """Side of the training crops, in pixels; smaller photos are padded by reflection."""
    guide_size: AtLeastOne | None = None
    """Side of lq_guide, all of the degraded photo as input of the guide, in pixels.

    Its short side is resized to this size (224 for the published guides) and the centre cut out.
    For guide.view: photo; with pairs alone.
    """
    use_hflip: bool = True
    """Mirror half of the training crops."""
    use_rot: bool = True
    """Turn training crops upside down and transpose them, half of them each."""
    cache: bool = False
    """Keep the encoded files of folders in memory."""
    max_bad: NotNegative = 10
    """Number of photos that may be unreadable; each is logged and replaced by another."""


def check_options(name: str | None, options: DegradationOptions, training: bool) -> None:
    """Raise OptionError if keys that need each other are not both there, or contradict."""
    if options.dataroot is None and options.synthetic is None:
        raise OptionError(
            f"dataset {name}: give dataroot (pairs), or dataroot_gt with synthetic, or both"
        )
    if (options.dataroot_gt is None) != (options.synthetic is None):
        raise OptionError(
            f"dataset {name}: dataroot_gt (clean photos) and synthetic go together; give both or "
            f"neither"
        )
    if options.dataroot is None and (options.degradations or options.split):
        raise OptionError(
            f"dataset {name}: degradations and split apply to dataroot, which is absent; take them "
            f"out"
        )
    if training and options.gt_size is None:
        raise OptionError(
            f"dataset {name}: training needs gt_size, the side of the crops in pixels"
        )
    if options.guide_size and options.synthetic:
        raise OptionError(
            f"dataset {name}: guide_size needs the whole degraded photo, and synthetic degrades "
            f"crops; leave one out"
        )
