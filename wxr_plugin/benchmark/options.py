"""The option file of `wxr benchmark`: methods, sets and metrics."""

import re
from pathlib import Path
from typing import Any

from wxr_plugin.inference.packaged import Precision
from wxr_plugin.sampling.options import SamplingOptions
from wxr_plugin.schema import AtLeastOne, Block, NotNegative, PlainName

INPUT = "input"
"""The method that restores nothing: the photos as they are."""
PACKAGED = "packaged"
"""The set of photos that need not be fetched."""
_SOURCES = ("method", "checkpoint", "folder")


class MethodOptions(Block):
    """A method: a published one, a checkpoint, or a folder of images restored elsewhere."""

    title: str | None = None
    """Name in tables; its name in this file when absent."""
    method: str | None = None
    """Name in the zoo (wxr zoo list), which knows network and layout of the authors' checkpoint."""
    checkpoint: str | None = None
    """.pth or .safetensors; small and tiny are packaged.

    With `method`, the path of its official file if it is not in experiments/pretrained_models."""
    opt: str | None = None
    """Option file with the network_g of a checkpoint that does not name it."""
    guide: str | None = None
    """DA-CLIP or CLIP of a network that takes a context, if neither checkpoint nor zoo names it."""
    folder: str | dict[str, str] | None = None
    """Images restored elsewhere, named as the photos.

    One folder that has a sub-folder for each set, or a folder for each set."""
    sets: list[str] | None = None
    """Names of the sets that it restores, for weights of one task only; all of them when absent."""
    sampling: SamplingOptions | None = None
    """Sampling of a diffusion network."""
    precision: Precision | None = None
    """Replaces `precision` of the file."""
    tile: NotNegative | None = None
    """Replaces `tile` of the file; 0: never."""
    overlap: NotNegative | None = None
    """Replaces `overlap` of the file."""

    def __post_init__(self) -> None:
        given = [key for key in _RESTORING if getattr(self, key) is not None]
        if self.folder and given:
            raise ValueError(
                f"{', '.join(given)}: images of a folder are restored already; remove it, or the "
                f"folder"
            )
        if self.opt and (self.method or not self.checkpoint):
            raise ValueError(
                "opt: names the network of a checkpoint; give it with checkpoint and without method"
            )
        has_source = any(getattr(self, key) for key in _SOURCES)
        has_setting = any(getattr(self, key) for key in _RESTORING)
        if has_setting and not has_source:
            raise ValueError("nothing restores the photos; add method, checkpoint or folder")

    @property
    def restores(self) -> bool:
        """Whether the method runs a network."""
        return bool(self.method or self.checkpoint)


_RESTORING = [
    name for name in MethodOptions.__struct_fields__ if name not in ("title", "folder", "sets")
]
"""Keys of a method that make sense only if photos are restored."""


class SetOptions(Block):
    """Photos to restore: a known set and its folder, or folders of your own."""

    set: str | None = None
    """Name of the known set, if it is not the name of this block; absent for folders of your own.

    `packaged`, which has no root, are photos that this package's dependencies ship, under
    synthetic weather."""
    root: str | None = None
    """Folder of a known set, as unpacked."""
    lq: str | None = None
    """Folder of photos of your own."""
    gt: str | None = None
    """Folder of their ground truth, if there is one."""
    filename_tmpl: str = "{}"
    """Name of a photo without suffix, where {} stands for the part shared with its ground truth.

    For example input{}."""
    gt_tmpl: str = "{}"
    """Name of its ground truth, where {} is the same part, for example norain{}."""
    title: str | None = None
    """Name in tables."""
    task: str | None = None
    """Degradation to remove: rain, haze, snow, …; tables are grouped by it."""
    limit: AtLeastOne | None = None
    """Measure this many photos, spread evenly over the set; all when absent."""
    count: AtLeastOne | None = None
    """Expected number of photos before `limit`; for a known set it replaces the published one."""

    def __post_init__(self) -> None:
        if self.set == PACKAGED and (self.root or self.lq):
            raise ValueError("the packaged photos need no folder; remove root and lq")
        if self.set != PACKAGED and bool(self.root) == bool(self.lq):
            raise ValueError(
                "name either root, the folder of a known set, or lq, a folder of photos of your own"
            )
        defaults = {
            "gt": None,
            "filename_tmpl": "{}",
            "gt_tmpl": "{}",
        }
        changed = [key for key, default in defaults.items() if getattr(self, key) != default]
        if self.root and changed:
            raise ValueError(
                f"{', '.join(changed)}: a known set has its own layout; remove it, or name lq "
                f"instead of root"
            )
        if self.lq and self.set:
            raise ValueError(
                "set: names a known set, whose folder is `root`; remove one of lq and set"
            )
        for template in (self.filename_tmpl, self.gt_tmpl):
            if template.count("{}") != 1:
                raise ValueError(f"the template {template!r} needs one {{}}")


class OverlapOptions(Block):
    """The search for test images among those that methods were trained on."""

    training: list[str]
    """Folders or .lmdb of training images, both ground truth and photos with weather."""
    threshold: NotNegative = 20
    """Bits of 256 in which the perceptual hashes of two equal images may differ."""


class BenchmarkOptions(Block):
    """Methods × sets × metrics under one protocol."""

    name: PlainName
    """Name of the benchmark."""
    output: str | None = None
    """Folder of all results; runs/NAME when absent."""
    plugins: list[str] = []
    """Packages or modules to import first; their networks and metrics can be named in this file."""
    device: str | None = None
    """cpu, cuda, …; the GPU if there is one when absent."""
    precision: Precision = "fp32"
    """Number format in which networks compute."""
    tile: NotNegative = 0
    """Cut larger photos into tiles of this side in pixels; 0, the default: never, as in papers."""
    overlap: NotNegative = 32
    """Pixels that neighbouring tiles share."""
    crop_border: NotNegative = 0
    """Pixels at each edge that no metric counts."""
    methods: dict[str, MethodOptions | None]
    """Methods, keyed by a name for files and tables; `input`, without a block, is the photo."""
    sets: dict[str, SetOptions]
    """Test sets, keyed by name."""
    metrics: list[str] | dict[str, dict[str, Any] | None]
    """Known metrics (wxr benchmark --metrics), each with a block if it needs one: {weights: FILE}.

    Or, keyed by any name, the block of a registered metric as in `val.metrics`."""
    overlaps: OverlapOptions | None = None
    """Search for test images that were trained on; off when absent."""

    def __post_init__(self) -> None:
        if self.tile and self.overlap >= self.tile:
            raise ValueError(f"overlap {self.overlap} has to be smaller than tile {self.tile}")
        for kind in ("methods", "sets", "metrics"):
            if not getattr(self, kind):
                raise ValueError(f"{kind}: names none; add one")

    @property
    def folder(self) -> Path:
        """Folder of all results."""
        if self.output:
            return Path(self.output).expanduser()
        return Path("runs") / self.name

    @property
    def metric_blocks(self) -> dict[str, dict[str, Any]]:
        """Name of a metric -> its block in the file."""
        blocks = self.metrics
        # A list names known metrics, none of which has a block.
        if not isinstance(blocks, dict):
            blocks = dict.fromkeys(blocks)
        return {name: block or {} for name, block in blocks.items()}


def is_file_name(name: str) -> bool:
    """Return whether `name` can name a folder on every system, and the column of a metric."""
    has_letters = re.fullmatch(r"\w[\w.+() -]*", name) is not None
    # Windows drops a dot or a blank at the end of a name.
    return has_letters and not name.endswith((".", " "))
