"""Structs of the blocks of an option file, with a description under each field."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec

T = TypeVar("T")

ExistingPath = Annotated[str, msgspec.Meta(extra={"exists": True})]
"""File or folder that must exist before a run starts."""

PlainName = Annotated[str, msgspec.Meta(extra={"plain": True})]
"""Name of a file or folder: without separators, not '.' or '..' (see `utils.safe_paths`)."""

NeededInTraining = Annotated[T, msgspec.Meta(extra={"needed": "train"})]
"""`NeededInTraining[int | None] = None`: required in training, ignored in testing."""

Network = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "network"})]
"""Block with a `type` of BasicSR's network registry and the arguments of its constructor."""

Loss = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "loss"})]
"""Block with a `type` of the loss registry and the arguments of its constructor."""

Metric = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "metric"})]
"""Block with a `type` of the metric registry and the arguments of the metric."""

Optimizer = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "optimizer"})]
"""Block with the name of an optimizer as `type`, and its arguments."""

Scheduler = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "scheduler"})]
"""Block with the name of a learning-rate schedule as `type`, and its arguments."""

Rater = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "rater"})]
"""Block of a rater: a registered `type` and the keys of its `Options`.

Without a `type` it is a TransformersRater. `rater: Rater = {}` is the packaged tiny one.
"""

Describer = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "describer"})]
"""Block of a describer, a TransformersDescriber without a `type`."""

Rewriter = Annotated[dict[str, Any], msgspec.Meta(extra={"registry": "rewriter"})]
"""Block of a rewriter, a RuleRewriter without a `type`."""

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class BlockMeta(msgspec.StructMeta):
    """Metaclass that makes every block keyword-only: a required key may follow an optional one."""

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **settings: Any
    ) -> type:
        return super().__new__(mcs, name, bases, namespace, **{"kw_only": True} | settings)


class Block(msgspec.Struct, metaclass=BlockMeta, forbid_unknown_fields=True):
    """Base class for a block of an option file.

    Define the options of a class next to it, and make them an attribute of the class:

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
      for a float.
    - The string under a field becomes its description in the JSON schema that editors read.
    - Datasets: `Options` lists only the dataset's own keys. Those that BasicSR itself reads from a
      dataset block (name, type, phase, scale, io_backend, batch_size_per_gpu, ...) are known
      anyway, and may be repeated to narrow them.
    - Models: `TrainOptions` lists the keys that the model adds to the `train` block, `TopOptions`
      those that it adds to the top level; those of its base classes are known, too.
    - Strings annotated `ExistingPath` are checked to exist. Blocks annotated `Network`, `Loss`,
      `Metric`, `Optimizer`, `Scheduler`, `Rater`, `Describer` or `Rewriter` are checked against the
      class or function of their `type`.
    - `__post_init__` may raise ValueError("problem; fix") for keys that do not go together.
    - In the class itself, turn a block into a struct with `HazyDatasetOptions.read(opt)`.
    """

    @classmethod
    def read(cls, block: Mapping[str, Any]) -> Self:
        """Return this struct filled from `block`, whose other keys (BasicSR's) are ignored.

        Raises:
            msgspec.ValidationError: a required key is missing or a value has the wrong type.
        """
        fields = {key: value for key, value in block.items() if key in cls.__struct_fields__}
        return convert(fields, cls)


def convert(value: Any, hint: Any) -> Any:
    """Return `value` as the type `hint`, by msgspec's rules.

    In addition, 5e3 is a whole number, since BasicSR's own option files write such.

    Raises:
        msgspec.ValidationError: the value does not fit.
    """
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError:
        # Only after a failure, so that values of type Any stay as written.
        return msgspec.convert(_whole_floats_to_int(value), hint)


def _whole_floats_to_int(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _whole_floats_to_int(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole_floats_to_int(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class IoBackend(Block):
    """Storage of the images of a dataset."""

    type: Literal["disk", "lmdb", "memcached"]
    """disk: files of a folder; lmdb: a folder named *.lmdb; memcached: a memcached server."""
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
    """Keys that BasicSR reads from every dataset block."""

    name: PlainName
    """Name in logs and in the folders of results."""
    type: str
    """Registered name of the dataset class."""
    phase: Literal["train", "val", "test"] | None = None
    """Set by BasicSR from the block's name."""
    scale: AtLeastOne | None = None
    """Set by BasicSR from the file's `scale`."""
    io_backend: IoBackend | None = None
    """Storage of the images: {type: disk} or {type: lmdb}."""
    batch_size_per_gpu: NeededInTraining[AtLeastOne | None] = None
    """Images per step and GPU (or CPU process)."""
    num_worker_per_gpu: NeededInTraining[NotNegative | None] = None
    """Data-loading processes per GPU; 0 loads in the training process."""
    dataset_enlarge_ratio: Annotated[float, msgspec.Meta(gt=0)] = 1
    """Passes over the set in an epoch; large for small sets, so that workers restart less often."""
    prefetch_mode: Literal["cpu", "cuda"] | None = None
    """Prefetch batches in a thread (cpu) or on a CUDA stream (cuda, needs pin_memory: true)."""
    num_prefetch_queue: AtLeastOne = 1
    """Batches to prefetch when prefetch_mode is cpu."""
    pin_memory: bool = False
    """Load batches into page-locked memory, from which CUDA copies faster."""
    persistent_workers: bool = False
    """Keep the worker processes from epoch to epoch."""
    use_shuffle: bool | None = None
    """Ignored; published option files have it."""
    mean: list[float] | None = None
    """Subtracted from each channel of the image in [0, 1]."""
    std: list[float] | None = None
    """Divides each channel after `mean` is subtracted."""
    metrics: dict[str, Metric] | None = None
    """Metrics of this set, instead of val.metrics."""


class PathOptions(Block):
    """The `path` block.

    Each network_X of the file also has pretrain_network_X, param_key_X and strict_load_X.
    """

    pretrain_network_g: ExistingPath | None = None
    """Initial weights of network_g: .pth, .safetensors, or `hf://OWNER/NAME[@REVISION][/FILE]`."""
    param_key_g: str | None = "params"
    """Entry of the weights file: params, params_ema, or none for a bare state dict."""
    strict_load_g: bool = True
    """Require the parameters of file and network to be the same."""
    pretrain_network_d: ExistingPath | None = None
    """Initial weights of the discriminator."""
    param_key_d: str | None = "params"
    """Entry of the discriminator's weights file."""
    strict_load_d: bool = True
    """Require the parameters of file and discriminator to be the same."""
    resume_state: ExistingPath | None = None
    """The .state file from which to resume."""
    ignore_resume_networks: list[str] | None = None
    """Networks (network_g, ...) that keep their pretrain_network_* on a resume."""


class ValOptions(Block):
    """The `val` block."""

    val_freq: NeededInTraining[Annotated[float, msgspec.Meta(ge=1)] | None] = None
    """Iterations between two validations."""
    save_img: bool
    """Write the restored images."""
    pbar: bool = False
    """Show a progress bar."""
    suffix: PlainName | None = None
    """Suffix of the names of written images, instead of the experiment's name."""
    metrics: dict[str, Metric] | None = None
    """Metrics, keyed by any name: {psnr: {type: calculate_psnr, crop_border: 0}}."""


class WandbOptions(Block):
    """Logging to Weights & Biases, from the files of TensorBoard."""

    project: str | None = None
    """Name of the project; off when absent."""
    resume_id: str | None = None
    """Identifier of the run to resume."""


class LoggerOptions(Block):
    """The `logger` block."""

    print_freq: AtLeastOne
    """Iterations between two lines of the log."""
    save_checkpoint_freq: AtLeastOne
    """Iterations between two checkpoints."""
    use_tb_logger: bool
    """Write TensorBoard files to tb_logger/."""
    progress: bool = False
    """WxrModel: show a progress bar if the output is a terminal."""
    wandb: WandbOptions | None = None
    """Logging to Weights & Biases; off when absent."""


class TrainCommon(Block):
    """Keys that BasicSR reads from the `train` block of every model."""

    total_iter: AtLeastOne
    """Number of iterations."""
    warmup_iter: int = -1
    """Iterations over which the learning rate rises from 0; -1: no warm-up."""


class FileOptions(Block):
    """Keys of the top level of an option file of every model."""

    name: PlainName
    """Name of the experiment and of its folder in experiments/ or results/.

    A name with `debug` in it logs every step.
    """
    model_type: str
    """Registered name of the model class."""
    scale: AtLeastOne | None = None
    """Size of gt over size of lq; 1 for weather removal."""
    num_gpu: NotNegative | Literal["auto"]
    """Number of GPUs of this machine; 0: CPU; auto: all under torchrun, otherwise one.

    Models of this package train on one GPU in each process.
    """
    manual_seed: int | None = None
    """Seed of all random numbers; drawn when absent."""
    plugins: list[str] = []
    """Packages or modules to import first, whose registered classes this file may name."""
    allow_shared_gt: bool = False
    """Accept ground truth that is both in the training set and in a validation set."""
    datasets: dict[str, Any]
    """`train` and any of `val`, `val_2`, ... (training), or `test_1`, `test_2`, ... (testing)."""
    path: dict[str, Any]
    """Weights and states to start from."""
    train: NeededInTraining[dict[str, Any] | None] = None
    """Optimizer, schedule and losses."""
    val: dict[str, Any] | None = None
    """Validation; none when absent."""
    logger: NeededInTraining[LoggerOptions | None] = None
    """Log and checkpoints."""
    dist_params: dict[str, Any] | None = None
    """Arguments of the launcher: backend, port, timeout."""
    find_unused_parameters: bool = False
    """DistributedDataParallel: allow parameters without a gradient."""
    define: Any = None
    """Ignored; a place for YAML anchors."""
