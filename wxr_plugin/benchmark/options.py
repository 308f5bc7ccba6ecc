"""The option file of `wxr benchmark`: methods, sets and metrics."""

import re
from pathlib import Path
from typing import Any, Literal

from wxr_plugin.sampling.options import SamplingOptions
from wxr_plugin.schema import AtLeastOne, Block, NotNegative, PlainName

INPUT = "input"
"""The method that restores nothing: the photos as they are."""
PACKAGED = "packaged"
"""The set of photos that need not be fetched."""
Precision = Literal["fp32", "bf16", "fp16"]
_SOURCES = ("method", "checkpoint", "folder")


class MethodOptions(Block):
    """Who restores: a published method, a checkpoint, or a folder of images that somebody restored elsewhere."""

    title: str | None = None
    """What it is called in tables; its name in this file when absent."""
    method: str | None = None
    """Name in the zoo (wxr zoo list), which knows network and layout of the authors' checkpoint."""
    checkpoint: str | None = None
    """.pth or .safetensors; small and tiny are packaged.

    With `method`, where its official file lies if not in
    experiments/pretrained_models."""
    opt: str | None = None
    """Option file with the network_g of a checkpoint that does not name it."""
    guide: str | None = None
    """DA-CLIP, or CLIP, of a network that takes a context, where the checkpoint or the zoo does not tell."""
    folder: str | dict[str, str] | None = None
    """Images restored elsewhere, by the names of the photos: one folder with a sub-folder for each set, or a folder a
    set."""
    sets: list[str] | None = None
    """Names of the sets that it restores, for weights of one task only; all of them when absent."""
    sampling: SamplingOptions | None = None
    """How a network that is sampled restores."""
    precision: Precision | None = None
    """In place of the file's."""
    tile: NotNegative | None = None
    """In place of the file's; 0: never."""
    overlap: NotNegative | None = None
    """In place of the file's."""

    def __post_init__(self) -> None:
        if self.folder and (odd := [key for key in _RESTORING if getattr(self, key) is not None]):
            raise ValueError(
                f"{', '.join(odd)}: images of a folder are restored already; take it out, or the "
                f"folder"
            )
        if self.opt and (self.method or not self.checkpoint):
            raise ValueError(
                "opt: tells the network of a checkpoint without `method`; name those alone"
            )
        if not any(getattr(self, key) for key in _SOURCES) and any(
            getattr(self, key) for key in _RESTORING
        ):
            raise ValueError("restores with nothing; add method, checkpoint or folder")

    @property
    def restores(self) -> bool:
        """Whether a network is run."""
        return bool(self.method or self.checkpoint)


_RESTORING = [
    name for name in MethodOptions.__struct_fields__ if name not in ("title", "folder", "sets")
]


class SetOptions(Block):
    """Photos to restore: a known set and where it lies, or folders of your own."""

    set: str | None = None
    """Name of the known set; absent when this block has that name itself, or folders of its own.

    `packaged`, which
    has no root, are photos that this package's dependencies ship, under synthetic weather."""
    root: str | None = None
    """Folder of a known set, as it was unpacked."""
    lq: str | None = None
    """Folder of photos of your own."""
    gt: str | None = None
    """Folder of their ground truth, if there is any."""
    filename_tmpl: str = "{}"
    """Name of a photo without suffix, where {} stands for a part of it only: input{}."""
    gt_tmpl: str = "{}"
    """Name of its ground truth, {} being the same part: norain{}."""
    title: str | None = None
    """What it is called in tables."""
    task: str | None = None
    """What has to be removed: rain, haze, snow, …; tables are grouped by it."""
    limit: AtLeastOne | None = None
    """Measure this many photos, spread evenly over the set; all when absent."""
    count: AtLeastOne | None = None
    """How many photos there have to be before `limit`; of a known set, in place of the published number."""

    def __post_init__(self) -> None:
        if self.set == PACKAGED and (self.root or self.lq):
            raise ValueError("the packaged photos need no folder; take root and lq out")
        if self.set != PACKAGED and bool(self.root) == bool(self.lq):
            raise ValueError(
                "name either root, the folder of a known set, or lq, a folder of photos of your own"
            )
        own = [
            key
            for key in ("gt", "filename_tmpl", "gt_tmpl")
            if getattr(self, key) not in (None, "{}")
        ]
        if self.root and own:
            raise ValueError(
                f"{', '.join(own)}: a known set has its own layout; take it out, or name lq, not "
                f"root"
            )
        if self.lq and self.set:
            raise ValueError(
                "set: names a known set, whose folder is `root`; take one of lq and set out"
            )
        if bad := [tmpl for tmpl in (self.filename_tmpl, self.gt_tmpl) if tmpl.count("{}") != 1]:
            raise ValueError(f"the template {bad[0]!r} needs one {{}}")


class OverlapOptions(Block):
    """Looking for test images among those that methods were trained on."""

    training: list[str]
    """Folders or .lmdb of training images, ground truth and photos with weather alike."""
    threshold: NotNegative = 20
    """Bits of 256 in which the perceptual hashes of two images may differ for them to count as one."""


class BenchmarkOptions(Block):
    """Methods × sets × metrics under one protocol."""

    name: PlainName
    """The benchmark's name."""
    output: str | None = None
    """Folder that gets everything; runs/NAME when absent."""
    plugins: list[str] = []
    """Packages or modules to import first; their networks and metrics can be named in this file."""
    device: str | None = None
    """cpu, cuda, …; the GPU if there is one when absent."""
    precision: Precision = "fp32"
    """What networks compute in."""
    tile: NotNegative = 0
    """Cut larger photos into tiles of this side, in pixels; 0, the default: never, as in papers."""
    overlap: NotNegative = 32
    """Pixels that neighbouring tiles share."""
    crop_border: NotNegative = 0
    """Pixels at each edge that no metric counts."""
    methods: dict[str, MethodOptions | None]
    """Who restores, by a name for files and tables; `input`, without a block, is the photo as it is."""
    sets: dict[str, SetOptions]
    """What is restored, by name."""
    metrics: list[str] | dict[str, dict[str, Any] | None]
    """What is measured: names that are known (wxr benchmark --metrics), each with a block where it needs one, say
    {weights: FILE}; or by any name the block of a registered metric, as in `val.metrics`."""
    overlaps: OverlapOptions | None = None
    """Which test images were trained on; not looked for when absent."""

    def __post_init__(self) -> None:
        if self.tile and self.overlap >= self.tile:
            raise ValueError(f"overlap {self.overlap} has to be smaller than tile {self.tile}")
        for kind in ("methods", "sets", "metrics"):
            if not getattr(self, kind):
                raise ValueError(f"{kind}: names none; add one")

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return Path(self.output).expanduser() if self.output else Path("runs") / self.name

    @property
    def metric_blocks(self) -> dict[str, dict[str, Any]]:
        """The metrics as name -> what the file says of it."""
        named = self.metrics if isinstance(self.metrics, dict) else dict.fromkeys(self.metrics)
        return {name: block or {} for name, block in named.items()}


def is_file_name(name: str) -> bool:
    """Whether a name may be that of a folder everywhere, and of a metric's column."""
    return re.fullmatch(r"\w[\w.+() -]*", name) is not None and not name.endswith((".", " "))
