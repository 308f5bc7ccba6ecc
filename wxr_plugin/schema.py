"""The shape of an option file: one msgspec Struct a block, with a docstring line under each field."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec

T = TypeVar("T")

ExistingPath = Annotated[str, msgspec.Meta(extra={"exists": True})]
"""A file or folder that must be there before a run starts."""

PlainName = Annotated[str, msgspec.Meta(extra={"plain": True})]
"""A name that becomes a file or folder: without separators, not '.' or '..' (see `wxr_plugin.utils.safe_paths`)."""

NeededInTraining = Annotated[T, msgspec.Meta(extra={"needed": "train"})]
"""`NeededInTraining[int | None] = None`: required in a file for training, unused in one for testing."""

Network = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "network"})]
"""A block whose `type` is in BasicSR's network registry and whose other keys are its constructor's arguments."""

Loss = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "loss"})]
"""The same for the loss registry."""

Metric = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "metric"})]
"""The same for the metric registry."""

Optimizer = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "optimizer"})]
"""A block whose `type` names an optimizer and whose other keys are its arguments."""

Scheduler = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "scheduler"})]
"""A block whose `type` names a learning-rate schedule and whose other keys are its arguments."""

Rater = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "rater"})]
"""A block for `wxr_plugin.vlm.rater.build_rater`: its other keys are those of the registered class's `Options`, and
without a `type` it is a TransformersRater. `rater: Rater = {}` is the packaged tiny one."""

Describer = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "describer"})]
"""The same for `wxr_plugin.vlm.describer.build_describer`; a TransformersDescriber without a `type`."""

Rewriter = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "rewriter"})]
"""The same for `wxr_plugin.vlm.rewriter.build_rewriter`; a RuleRewriter without a `type`."""

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class BlockMeta(msgspec.StructMeta):
    """Makes every block keyword-only, so that a required key may follow one with a default."""

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **settings: Any
    ) -> type:
        return super().__new__(mcs, name, bases, namespace, **{"kw_only": True} | settings)


class Block(msgspec.Struct, metaclass=BlockMeta, forbid_unknown_fields=True):
    """Base class for a block of an option file.

    Derive from it beside the class whose options it describes, and hang it on that class:

        class HazeOptions(Block):
            severity: tuple[float, float] = (0.2, 0.9)
            '''Lowest and highest severity, in [0, 1].'''

        class HazyDatasetOptions(Block):
            dataroot_gt: ExistingPath
            '''Folder or .lmdb of clean images.'''
            style: Literal["default", "shifted"] = "default"
            '''Setting of the synthetic weather.'''
            haze: HazeOptions | None = None
            '''Haze on the fly; none when absent.'''

        @DATASET_REGISTRY.register()
        class HazyDataset(Dataset):
            Options = HazyDatasetOptions

    - A field without a default is required. Types: bool, int, float, str, list[T], tuple[T, ...],
      tuple[A, B], dict[str, T], Literal[...], another Block, `T | None`, Any. An int is accepted
      where a float is asked.
    - The string under a field becomes its description in the JSON schema that editors read.
    - Datasets: `Options` lists only the dataset's own keys; those which BasicSR itself puts into a
      dataset block (name, type, phase, scale, io_backend, batch_size_per_gpu, ...) are known
      anyway, and may be repeated to narrow them.
    - Models: `TrainOptions` lists what the model adds to the `train` block, `TopOptions` what it
      adds to the top level; what its base classes declare is known too.
    - Strings annotated `ExistingPath` are checked to exist. Blocks annotated `Network`, `Loss`,
      `Metric`, `Optimizer`, `Scheduler`, `Rater`, `Describer` or `Rewriter` are checked against
      what is registered under their `type`.
    - `__post_init__` may raise ValueError("what is wrong; how to mend it") for keys that do not go
      together.
    - In the class itself, turn a block into a struct with `HazyDatasetOptions.read(opt)`.
    """

    @classmethod
    def read(cls, block: Mapping[str, Any]) -> Self:
        """This struct filled from `block`; keys of `block` that are not fields (those of BasicSR) are passed over.

        Raises:
            msgspec.ValidationError: a required key is missing or a value has the wrong type.
        """
        known = {key: value for key, value in block.items() if key in cls.__struct_fields__}
        return convert(known, cls)


def convert(value: Any, hint: Any) -> Any:
    """`value` as `hint`, msgspec's rules apart from one: 5e3 is a whole number, as in BasicSR's own option files.

    Raises:
        msgspec.ValidationError: the value does not fit.
    """
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return msgspec.convert(_whole_floats_to_int(value), hint)


def _whole_floats_to_int(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _whole_floats_to_int(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole_floats_to_int(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class IoBackend(Block):
    """Where images are read from."""

    type: Literal["disk", "lmdb", "memcached"]
    """disk: files of a folder; lmdb: a folder whose name ends in .lmdb; memcached: a memcached server."""
    readonly: bool = True
    """LMDB: open without write access."""
    lock: bool = False
    """LMDB: lock the database while it is open."""
    readahead: bool = False
    """LMDB: let the operating system read ahead."""
    server_list_cfg: str | None = None
    """memcached: file that lists the servers."""
    client_cfg: str | None = None
    """memcached: file that configures the client."""
    sys_path: str | None = None
    """memcached: folder that holds the Python client."""


class DatasetCommon(Block):
    """What BasicSR itself reads from every dataset block, whatever the dataset's type."""

    name: PlainName
    """Name in logs and in the folders of results."""
    type: str
    """Registered name of the dataset class."""
    phase: Literal["train", "val", "test"] | None = None
    """Set by BasicSR from the block's name."""
    scale: AtLeastOne | None = None
    """Set by BasicSR from the file's `scale`."""
    io_backend: IoBackend | None = None
    """Where images are read from: {type: disk} or {type: lmdb}."""
    batch_size_per_gpu: NeededInTraining[AtLeastOne | None] = None
    """Images a step and a GPU (or a CPU process)."""
    num_worker_per_gpu: NeededInTraining[NotNegative | None] = None
    """Processes that load data, a GPU; 0 loads in the training process."""
    dataset_enlarge_ratio: Annotated[float, msgspec.Meta(gt=0)] = 1
    """Times that an epoch passes over the set; large for small sets, so that workers restart less often."""
    prefetch_mode: Literal["cpu", "cuda"] | None = None
    """Load the next batch ahead in a thread (cpu) or on a CUDA stream (cuda, needs pin_memory: true)."""
    num_prefetch_queue: AtLeastOne = 1
    """Batches ahead when prefetch_mode is cpu."""
    pin_memory: bool = False
    """Copy batches to page-locked memory, from which CUDA copies faster."""
    persistent_workers: bool = False
    """Keep the worker processes from epoch to epoch."""
    use_shuffle: bool | None = None
    """In published option files; nothing reads it."""
    mean: list[float] | None = None
    """Subtracted from each channel of the image in [0, 1]."""
    std: list[float] | None = None
    """Divides each channel after `mean` is subtracted."""
    metrics: dict[str, Metric] | None = None
    """Metrics of this set, in place of val.metrics."""


class PathOptions(Block):
    """The `path` block; pretrain_network_X, param_key_X and strict_load_X are also known for each network_X."""

    pretrain_network_g: ExistingPath | None = None
    """Weights from which network_g starts: .pth or .safetensors."""
    param_key_g: str | None = "params"
    """Entry of the weights file: params, params_ema, or none for a bare state dict."""
    strict_load_g: bool = True
    """Every parameter must be in the file, and no other."""
    pretrain_network_d: ExistingPath | None = None
    """Weights from which the discriminator starts."""
    param_key_d: str | None = "params"
    """Entry of the discriminator's weights file."""
    strict_load_d: bool = True
    """Every parameter of the discriminator must be in the file, and no other."""
    resume_state: ExistingPath | None = None
    """The .state file from which training goes on."""
    ignore_resume_networks: list[str] | None = None
    """Networks (network_g, ...) that keep their pretrain_network_* when training goes on."""


class ValOptions(Block):
    """The `val` block."""

    val_freq: NeededInTraining[Annotated[float, msgspec.Meta(ge=1)] | None] = None
    """Iterations between two validations."""
    save_img: bool
    """Write the restored images."""
    pbar: bool = False
    """Show a progress bar."""
    suffix: PlainName | None = None
    """Appended to the names of written images, in place of the experiment's name."""
    metrics: dict[str, Metric] | None = None
    """What is measured, by any name: {psnr: {type: calculate_psnr, crop_border: 0}}."""


class WandbOptions(Block):
    """Weights & Biases, fed from TensorBoard."""

    project: str | None = None
    """Project's name; none switches it off."""
    resume_id: str | None = None
    """Identifier of the run that goes on."""


class LoggerOptions(Block):
    """The `logger` block."""

    print_freq: AtLeastOne
    """Iterations between two lines of the log."""
    save_checkpoint_freq: AtLeastOne
    """Iterations between two checkpoints."""
    use_tb_logger: bool
    """Write TensorBoard files to tb_logger/."""
    progress: bool = False
    """WxrModel: draw a progress bar when the output is a terminal."""
    wandb: WandbOptions | None = None
    """Weights & Biases."""


class TrainCommon(Block):
    """What BasicSR itself reads from the `train` block, whatever the model's type."""

    total_iter: AtLeastOne
    """Iterations in all."""
    warmup_iter: int = -1
    """Iterations over which the learning rate rises from 0; -1: none."""


class FileOptions(Block):
    """The top level of an option file, whatever the model's type."""

    name: PlainName
    """Experiment's name: its folder below experiments/ or results/.

    Names with `debug` in them log every step.
    """
    model_type: str
    """Registered name of the model class."""
    scale: AtLeastOne | None = None
    """Size of gt over size of lq; 1 for weather removal."""
    num_gpu: NotNegative | Literal["auto"]
    """GPUs of this machine to use; 0: CPU; auto: all there are under torchrun, and one without it, since a process of
    this package's models trains on one GPU."""
    manual_seed: int | None = None
    """Seed of every random number; drawn when absent."""
    plugins: list[str] = []
    """Packages or modules to import before anything else; what they register can be named in this file."""
    allow_shared_gt: bool = False
    """Accept ground-truth images that are both in the training set and in a validation set."""
    datasets: dict[str, Any]
    """`train`, and any number of `val`, `val_2`, ... (training) or `test_1`, `test_2`, ... (testing)."""
    path: dict[str, Any]
    """Weights and states to start from."""
    train: NeededInTraining[dict[str, Any] | None] = None
    """Optimizer, schedule and losses."""
    val: dict[str, Any] | None = None
    """Validation."""
    logger: NeededInTraining[LoggerOptions | None] = None
    """Log and checkpoints."""
    dist_params: dict[str, Any] | None = None
    """Arguments of the launcher: backend, port, timeout."""
    find_unused_parameters: bool = False
    """DistributedDataParallel: some parameters get no gradient in some steps."""
    define: Any = None
    """Not read; a place for YAML anchors."""
