"""The option file of `wxr wresvlm run`: from folders of photos to a report."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wxr_plugin.schema import (
    AtLeastOne,
    Block,
    Describer,
    ExistingPath,
    Metric,
    NotNegative,
    PlainName,
    Rater,
    Rewriter,
)

REAL = ("rain", "haze", "snow")
"""Weathers of real photos, in the order of tables."""


class TrainingFile(Block):
    """An option file of BasicSR, and changes to it."""

    opt: ExistingPath
    """The file."""
    force_yml: list[str] = []
    """Changes as on the command line: train:clip_grad=0.5, +train:keep=3."""


class DataOptions(Block):
    """Folders or .lmdb of photos, in place of those that the training files name."""

    real: ExistingPath | dict[Literal["rain", "haze", "snow"], ExistingPath] | None = None
    """Real photos without ground truth: one root for each weather, or one whose sub-folders are rain, haze, snow."""
    gt: ExistingPath | None = None
    """Clean photos of the pairs."""
    lq: ExistingPath | None = None
    """The same photos with weather; absent where the training files draw it."""
    clear: ExistingPath | None = None
    """Photos from which the prompts learn what clear weather is; those of `gt` when absent."""


class InitOptions(Block):
    """How the first pseudo-labels are chosen, and those between rounds."""

    restorers: list[str]
    """What restores the real photos: checkpoints, option files with weights, tiny, NAME=PATH, and `supervised`, the
    network of that stage."""
    tile: AtLeastOne | None = 1024
    """Cut larger photos into tiles of this side, in pixels; ~: never."""
    overlap: NotNegative = 32
    """Pixels that neighbouring tiles share."""

    def __post_init__(self) -> None:
        if not self.restorers:
            raise ValueError(
                "restorers: the panel has nothing to choose from; name one at least, or take init "
                "out"
            )
        if self.tile and self.overlap >= self.tile:
            raise ValueError(f"overlap {self.overlap} has to be smaller than tile {self.tile}")


class DescribeOptions(Block):
    """Who describes the real photos."""

    describer: Describer = {}
    """The model; the packaged one when absent."""
    of: Literal["photos", "crops"] = "crops"
    """What is described first: whole photos, or the training's crops of them.

    Later it is the pseudo-labels.
    """
    batch_size: AtLeastOne = 8
    """Images that the describer is given at once."""


class PromptStageOptions(Block):
    """How weather prompts are learnt; CLIP and crop size are those of the training file."""

    crops: NotNegative = 4
    """Random crops of each photo beside the whole."""
    iterations: AtLeastOne = 200
    """Steps of Adam; 200 suits the tiny CLIP."""
    lr: Annotated[float, Meta(gt=0)] = 2e-3
    """Learning rate; 2e-3 suits the tiny CLIP."""
    seed: int = 0
    """Of the held-out fifth, crops, weather and start."""
    synthetic: bool = False
    """Learn from the clear photos under synthetic weather too.

    Needed where real photos are not sorted by weather.
    """


class RoundOptions(Block):
    """One round of training."""

    rater: str
    """Name of the rater in the loop, one of `raters`."""
    iterations: AtLeastOne
    """Iterations of this round."""
    force_yml: list[str] = []
    """Changes to the training file for this round."""


class BetweenOptions(Block):
    """What is made anew between rounds, 'iter' in the paper's ablation."""

    panel: bool = True
    """The panel votes, for every crop, among photo, stored label and what the round's teacher makes of it."""
    prompts: bool = True
    """Prompts are learnt again, with the pseudo-labels."""
    describe: bool = True
    """The pseudo-labels are described, and the descriptions rewritten."""


class ReportOptions(Block):
    """What the report measures and shows."""

    rater: str | None = None
    """Name of the rater behind VLM-Vis; one that is neither in the panel nor in a round.

    No VLM-Vis when absent.
    """
    metrics: dict[str, Metric] = {}
    """No-reference metrics of the restored real photos, as in `val.metrics`."""
    photos: AtLeastOne | None = 200
    """Real photos of each weather that are restored and measured, at the most, spread evenly; ~: all."""
    shown: NotNegative = 12
    """Photos on the page."""
    texts: NotNegative = 6
    """Descriptions on the page."""


class LaunchOptions(Block):
    """Where things run."""

    nproc_per_node: AtLeastOne = 1
    """Processes of a training, each with a GPU of its own; more than one are started by torchrun."""
    device: str | None = None
    """Where restorers run and prompts are learnt, outside training: cpu, cuda, …; the GPU if there is one when absent,
    and for prompts the CPU where the training file has num_gpu: 0."""


class RunOptions(Block):
    """A whole run of WResVLM."""

    name: PlainName
    """The run's name."""
    work: str | None = None
    """Folder that gets everything; runs/NAME when absent."""
    plugins: list[str] = []
    """Packages or modules to import first; what they register can be named in this file."""
    data: DataOptions = msgspec.field(default_factory=DataOptions)
    """Photos; those that the training files name when absent."""
    supervised: TrainingFile | None = None
    """L_sup alone, from which the first round starts; without it, from path.pretrain_network_g of `train`."""
    train: TrainingFile
    """One round: a file with model_type WResVLMModel.

    Start, length, rater, labels and prompts are filled in.
    """
    raters: dict[str, Rater]
    """Every rater of the run, by a name for tables."""
    panel: list[str]
    """The raters that vote on pseudo-labels, by name."""
    init: InitOptions | None = None
    """The first pseudo-labels; without it, each photo is its own."""
    describe: DescribeOptions = msgspec.field(default_factory=DescribeOptions)
    """Descriptions, if the training file has semantic_opt."""
    rewrite: Rewriter = {}
    """Who rewrites them for clear weather; rules when absent."""
    prompts: PromptStageOptions = msgspec.field(default_factory=PromptStageOptions)
    """Weather prompts, if the training file has weather_prompt_opt."""
    rounds: Annotated[list[RoundOptions], Meta(min_length=1)]
    """The rounds, in order."""
    between: BetweenOptions = msgspec.field(default_factory=BetweenOptions)
    """What happens between two of them."""
    report: ReportOptions = msgspec.field(default_factory=ReportOptions)
    """The report at the end."""
    launch: LaunchOptions = msgspec.field(default_factory=LaunchOptions)
    """Processes and devices."""

    @property
    def folder(self) -> Path:
        """The run's working folder."""
        return Path(self.work).expanduser() if self.work else Path("runs") / self.name
