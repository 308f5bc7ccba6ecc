"""Option file of `wxr wresvlm run`: from folders of photos to a report."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wxr_plugin.inference.packaged import Precision
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
    """An option file of BasicSR with changes."""

    opt: ExistingPath
    """The file."""
    force_yml: list[str] = []
    """Changes in the form of the command line: train:clip_grad=0.5, +train:keep=3."""


class DataOptions(Block):
    """Folders or .lmdb of photos that replace those of the training files."""

    real: ExistingPath | dict[Literal["rain", "haze", "snow"], ExistingPath] | None = None
    """Real photos without ground truth.

    A root for each weather, or one whose sub-folders are rain, haze and snow.
    """
    gt: ExistingPath | None = None
    """Clean photos of the pairs."""
    lq: ExistingPath | None = None
    """The same photos with weather; absent if the training files draw it."""
    clear: ExistingPath | None = None
    """Clear photos that prompts are learnt from; those of `gt` when absent."""


class InitOptions(Block):
    """Choice of the first pseudo-labels and of those between rounds."""

    restorers: list[str]
    """Restorers of the real photos: checkpoints, option files with weights, `tiny`, NAME=PATH, and
    `supervised`, the network of that stage."""
    tile: AtLeastOne | None = 1024
    """Side of the tiles that larger photos are cut into, in pixels; ~: no tiles."""
    overlap: NotNegative = 32
    """Pixels that neighbouring tiles share."""
    precision: Precision = "fp32"
    """Precision of the restorers, also in the report; bf16 and fp16 are torch's autocast."""

    def __post_init__(self) -> None:
        if not self.restorers:
            raise ValueError(
                "restorers: the panel has nothing to choose from; name one at least, or remove init"
            )
        if self.tile and self.overlap >= self.tile:
            raise ValueError(f"overlap {self.overlap} has to be smaller than tile {self.tile}")


class DescribeOptions(Block):
    """Descriptions of the real photos."""

    describer: Describer = {}
    """The model; the packaged one when absent."""
    of: Literal["photos", "crops"] = "crops"
    """Images that are described first: whole photos, or their crops in training.

    Between rounds, the pseudo-labels are described.
    """
    batch_size: AtLeastOne = 8
    """Images in a batch of the describer."""


class PromptStageOptions(Block):
    """Learning of weather prompts; CLIP and crop size are those of the training file."""

    crops: NotNegative = 4
    """Random crops of each photo in addition to the whole photo."""
    iterations: AtLeastOne = 200
    """Steps of Adam; 200 suits the tiny CLIP."""
    lr: Annotated[float, Meta(gt=0)] = 2e-3
    """Learning rate; 2e-3 suits the tiny CLIP."""
    seed: int = 0
    """Seed of the held-out fifth, crops, weather and initial prompts."""
    synthetic: bool = False
    """Learn also from clear photos with synthetic weather.

    Needed if real photos are not sorted by weather.
    """
    match_tone: bool = False
    """With `synthetic`: give its clear photos the tone of a copy with weather.

    The clear photos are then used in this form alone, and no colour cast counts as clear.
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
    """Stages that are repeated between rounds, 'iter' in the paper's ablation."""

    panel: bool = True
    """The panel votes, for every crop, among photo, stored label and the teacher's restoration."""
    prompts: bool = True
    """Prompts are learnt again, also from the pseudo-labels."""
    describe: bool = True
    """The pseudo-labels are described, and the descriptions rewritten."""


class ReportOptions(Block):
    """Measures and photos of the report."""

    rater: str | None = None
    """Name of the rater behind VLM-Vis; it should be neither in the panel nor in a round.

    No VLM-Vis when absent.
    """
    raters: list[str] = []
    """Names of further raters, each with a VLM-Vis of its own."""
    truth: ExistingPath | dict[Literal["rain", "haze", "snow"], ExistingPath] | None = None
    """Ground truth of the real photos where it is known, with their names below each weather.

    Only the report reads it: the page shows it, and the PSNR to it is measured.
    """
    titles: dict[str, str] = {}
    """Titles of steps on the page and in its tables: {start: packaged, round_1: ours}."""
    metrics: dict[str, Metric] = {}
    """No-reference metrics of the restored real photos, as in `val.metrics`."""
    photos: AtLeastOne | None = 200
    """Most real photos of each weather that are restored and measured, spread evenly; ~: all."""
    shown: NotNegative = 12
    """Most photos on the page."""
    texts: NotNegative = 6
    """Most crops of a photo whose pseudo-labels and texts are shown next to it."""

    @property
    def judges(self) -> list[str]:
        """Names of all raters of the report, each once."""
        first = [self.rater] if self.rater else []
        return list(dict.fromkeys([*first, *self.raters]))


class LaunchOptions(Block):
    """Processes and devices."""

    nproc_per_node: AtLeastOne = 1
    """Processes of a training, each with its own GPU; torchrun starts more than one."""
    device: str | None = None
    """Device of restorers and of prompt learning, outside training: cpu, cuda, ….

    When absent, the GPU if there is one; for prompts, the CPU if the training file has num_gpu: 0.
    """


class RunOptions(Block):
    """A whole run of WResVLM."""

    name: PlainName
    """The run's name."""
    work: str | None = None
    """Folder of all results; runs/NAME when absent."""
    plugins: list[str] = []
    """Packages or modules to import first; this file can use the components that they register."""
    data: DataOptions = msgspec.field(default_factory=DataOptions)
    """Photos; those of the training files when absent."""
    supervised: TrainingFile | None = None
    """Training with L_sup alone, before the first round.

    When absent, the first round starts from path.pretrain_network_g of `train`.
    """
    start: Literal["supervised", "train"] = "supervised"
    """Network that the first round starts from.

    supervised: that of the stage. train: path.pretrain_network_g of `train`, so that the stage
    `supervised` is trained next to the rounds: a comparison without real photos.
    """
    train: TrainingFile
    """Training of one round: a file with model_type WResVLMModel.

    The run fills in start, length, rater, labels and prompts.
    """
    raters: dict[str, Rater]
    """Every rater of the run, keyed by a name for tables."""
    panel: list[str]
    """Names of the raters that vote on pseudo-labels."""
    init: InitOptions | None = None
    """The first pseudo-labels; when absent, the photos themselves."""
    describe: DescribeOptions = msgspec.field(default_factory=DescribeOptions)
    """Descriptions, if the training file has semantic_opt."""
    rewrite: Rewriter = {}
    """Rewriter of the descriptions for clear weather; rules when absent."""
    prompts: PromptStageOptions = msgspec.field(default_factory=PromptStageOptions)
    """Weather prompts, if the training file has weather_prompt_opt."""
    rounds: Annotated[list[RoundOptions], Meta(min_length=1)]
    """The rounds, in order."""
    between: BetweenOptions = msgspec.field(default_factory=BetweenOptions)
    """Stages that are repeated between two rounds."""
    report: ReportOptions = msgspec.field(default_factory=ReportOptions)
    """The report at the end."""
    launch: LaunchOptions = msgspec.field(default_factory=LaunchOptions)
    """Processes and devices."""

    @property
    def folder(self) -> Path:
        """Working folder of the run."""
        return Path(self.work).expanduser() if self.work else Path("runs") / self.name
