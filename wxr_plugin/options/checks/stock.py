"""Keys that BasicSR's own datasets and models read, for which BasicSR has no schema."""

from typing import Annotated, Literal

import msgspec

from wxr_plugin.schema import (
    AtLeastOne,
    Block,
    IoBackend,
    Loss,
    NeededInTraining,
    Network,
    NotNegative,
    Optimizer,
    Scheduler,
)

Decay = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Chance = Annotated[float, msgspec.Meta(ge=0, le=1)]
Range = tuple[float, float]


class Crops(Block):
    """Keys of datasets that cut random crops."""

    io_backend: IoBackend
    """Storage of the images."""
    gt_size: NeededInTraining[AtLeastOne | None] = None
    """Side of the crop of gt, in pixels."""
    use_hflip: NeededInTraining[bool | None] = None
    """Flip at random."""
    use_rot: NeededInTraining[bool | None] = None
    """Rotate by 90 degrees at random."""


class PairedImage(Crops):
    """PairedImageDataset."""

    dataroot_gt: str
    """Folder or .lmdb of ground truth."""
    dataroot_lq: str
    """Folder or .lmdb of low-quality images."""
    meta_info_file: str | None = None
    """Text file with one gt file name per line; all files of the folder when absent."""
    filename_tmpl: str = "{}"
    """Name of the lq file, where {} is the name of gt without suffix: '{}x4'."""
    color: Literal["y", "rgb"] | None = None
    """y: luma only."""


class SingleImage(Block):
    """SingleImageDataset."""

    io_backend: IoBackend
    """Storage of the images."""
    dataroot_lq: str
    """Folder or .lmdb of images."""
    meta_info_file: str | None = None
    """Text file with one file name per line; all files of the folder when absent."""
    color: Literal["y", "rgb"] | None = None
    """y: luma only."""


class RealESRGANPaired(Crops):
    """RealESRGANPairedDataset."""

    dataroot_gt: str
    """Folder or .lmdb of ground truth."""
    dataroot_lq: str
    """Folder or .lmdb of low-quality images."""
    meta_info: str | None = None
    """Text file with `gt, lq` per line, relative to the folders."""
    filename_tmpl: str = "{}"
    """Name of the lq file, where {} is the name of gt without suffix."""


class RealESRGAN(Crops):
    """RealESRGANDataset: the kernels of two rounds of blur, drawn for every image."""

    dataroot_gt: str
    """Folder or .lmdb of ground truth."""
    meta_info: str | None = None
    """Text file with one path per line, relative to dataroot_gt."""
    gt_size: AtLeastOne | None = None
    """Side of the crop of gt, in pixels."""
    blur_kernel_size: AtLeastOne
    """Side of the first blur kernel, in pixels."""
    kernel_list: list[str]
    """Kinds of the first blur kernel."""
    kernel_prob: list[Chance]
    """Probability of each kind."""
    blur_sigma: Range
    """Lowest and highest standard deviation of the first blur, in pixels."""
    betag_range: Range
    """Shape of the generalised Gaussian kernels."""
    betap_range: Range
    """Shape of the plateau kernels."""
    sinc_prob: Chance
    """Probability of a sinc kernel."""
    blur_kernel_size2: AtLeastOne
    """Side of the second blur kernel, in pixels."""
    kernel_list2: list[str]
    """Kinds of the second blur kernel."""
    kernel_prob2: list[Chance]
    """Probability of each kind."""
    blur_sigma2: Range
    """Lowest and highest standard deviation of the second blur, in pixels."""
    betag_range2: Range
    """Shape of the generalised Gaussian kernels."""
    betap_range2: Range
    """Shape of the plateau kernels."""
    sinc_prob2: Chance
    """Probability of a sinc kernel in the second round."""
    final_sinc_prob: Chance
    """Probability of a sinc kernel at the end."""


class FFHQ(Block):
    """FFHQDataset."""

    io_backend: IoBackend
    """Storage of the images."""
    dataroot_gt: str
    """Folder or .lmdb of faces."""
    use_hflip: bool
    """Flip at random."""
    mean: list[float]
    """Subtracted from each channel."""
    std: list[float]
    """Divides each channel."""


class Video(Crops):
    """Keys of the video datasets for training."""

    dataroot_gt: str
    """Folder or .lmdb of ground truth."""
    dataroot_lq: str
    """Folder or .lmdb of low-quality frames."""
    meta_info_file: str
    """Text file that lists the clips."""
    num_frame: int
    """Frames of a sample; -1: all."""
    interval_list: list[int] | None = None
    """Steps between frames, drawn at random; [1] when absent."""
    random_reverse: bool = False
    """Play clips backwards at random."""


class REDS(Video):
    """REDSDataset and REDSRecurrentDataset."""

    dataroot_flow: str | None = None
    """Folder or .lmdb of optical flow."""
    val_partition: Literal["REDS4", "official"]
    """Clips that are left out of training."""
    test_mode: bool = False
    """Use the clips that are left out of training."""


class Vimeo(Video):
    """Vimeo90KDataset and Vimeo90KRecurrentDataset."""

    flip_sequence: bool = False
    """Append each clip played backwards."""


class VideoTest(Block):
    """The video datasets for testing."""

    io_backend: IoBackend
    """Storage of the frames; lmdb does not work here."""
    dataroot_gt: str
    """Folder of ground truth, with one folder per clip."""
    dataroot_lq: str
    """Folder of low-quality frames, with one folder per clip."""
    cache_data: bool
    """Keep every frame in memory."""
    num_frame: int
    """Frames around each frame; -1: all."""
    padding: Literal["replicate", "reflection", "reflection_circle", "circle"] | None = None
    """How clips are extended beyond their ends."""
    meta_info_file: str | None = None
    """Text file that lists the clips; all folders when absent."""
    use_duf_downsampling: bool = False
    """VideoTestDUFDataset: make lq from gt as DUF does."""


DATASETS: dict[str, type[Block]] = {
    "PairedImageDataset": PairedImage,
    "SingleImageDataset": SingleImage,
    "RealESRGANPairedDataset": RealESRGANPaired,
    "RealESRGANDataset": RealESRGAN,
    "FFHQDataset": FFHQ,
    "REDSDataset": REDS,
    "REDSRecurrentDataset": REDS,
    "Vimeo90KDataset": Vimeo,
    "Vimeo90KRecurrentDataset": Vimeo,
    "VideoTestDataset": VideoTest,
    "VideoTestVimeo90KDataset": VideoTest,
    "VideoTestDUFDataset": VideoTest,
    "VideoRecurrentTestDataset": VideoTest,
}


class SRTop(Block):
    """SRModel: top level."""

    network_g: Network
    """The restoration network."""
    suffix: str | None = None
    """Ignored; published test files have it. See val.suffix."""
    crop_border: NotNegative | None = None
    """Ignored; published test files have it. See val.metrics."""
    save_img: bool | None = None
    """Ignored; published test files have it. See val.save_img."""


class SRTrain(Block):
    """SRModel: `train` block."""

    ema_decay: Decay = 0
    """Decay of the moving average of the weights; 0: no average."""
    optim_g: Optimizer
    """Optimizer of network_g."""
    scheduler: Scheduler
    """Learning-rate schedule."""
    pixel_opt: Loss | None = None
    """Loss between output and gt."""
    perceptual_opt: Loss | None = None
    """Loss between features of output and gt."""


class GANTop(Block):
    """SRGANModel and those like it: top level."""

    network_d: NeededInTraining[Network | None] = None
    """The discriminator."""


class GANTrain(Block):
    """SRGANModel and those like it: `train` block."""

    optim_d: Optimizer
    """Optimizer of network_d."""
    gan_opt: Loss
    """Adversarial loss."""
    ldl_opt: Loss | None = None
    """Loss on the artifact map of LDL."""
    feature_matching_opt: Loss | None = None
    """HiFaceGANModel: loss between features of the discriminator."""
    net_d_iters: AtLeastOne = 1
    """Discriminator steps for each generator step."""
    net_d_init_iters: NotNegative = 0
    """Discriminator steps before the first generator step."""


class Degradation(Block):
    """RealESRNetModel and RealESRGANModel: top level, the degradation that runs on the GPU."""

    gt_usm: bool = True
    """RealESRNetModel: sharpen gt."""
    l1_gt_usm: bool = True
    """RealESRGANModel: sharpen gt for the pixel loss."""
    percep_gt_usm: bool = True
    """RealESRGANModel: sharpen gt for the perceptual loss."""
    gan_gt_usm: bool = False
    """RealESRGANModel: sharpen gt for the adversarial loss."""
    high_order_degradation: bool = True
    """Degrade; otherwise lq comes from the dataset."""
    queue_size: AtLeastOne = 180
    """Samples in the pool from which batches are drawn."""
    gt_size: AtLeastOne | None = None
    """Side of the crop of gt, in pixels."""
    resize_prob: tuple[Chance, Chance, Chance] | None = None
    """Probability of enlarging, shrinking, keeping."""
    resize_range: Range | None = None
    """Lowest and highest factor."""
    gaussian_noise_prob: Chance | None = None
    """Probability of Gaussian rather than Poisson noise."""
    noise_range: Range | None = None
    """Lowest and highest standard deviation of Gaussian noise, on a scale of 255."""
    poisson_scale_range: Range | None = None
    """Lowest and highest strength of Poisson noise."""
    gray_noise_prob: Chance | None = None
    """Probability of equal noise in all channels."""
    jpeg_range: Range | None = None
    """Lowest and highest JPEG quality."""
    second_blur_prob: Chance | None = None
    """Probability of a blur in the second round."""
    resize_prob2: tuple[Chance, Chance, Chance] | None = None
    """Same as resize_prob, in the second round."""
    resize_range2: Range | None = None
    """Same as resize_range, in the second round."""
    gaussian_noise_prob2: Chance | None = None
    """Same as gaussian_noise_prob, in the second round."""
    noise_range2: Range | None = None
    """Same as noise_range, in the second round."""
    poisson_scale_range2: Range | None = None
    """Same as poisson_scale_range, in the second round."""
    gray_noise_prob2: Chance | None = None
    """Same as gray_noise_prob, in the second round."""
    jpeg_range2: Range | None = None
    """Same as jpeg_range, in the second round."""


class EDVRTrain(Block):
    """EDVRModel: `train` block."""

    tsa_iter: NotNegative | None = None
    """Number of first iterations that train the TSA module only."""
    dcn_lr_mul: float = 1
    """Learning rate of the deformable convolutions, relative to that of the other layers."""


class FlowTrain(Block):
    """Recurrent video models: `train` block."""

    fix_flow: int | None = None
    """Number of first iterations with a frozen flow network; negative: none."""
    flow_lr_mul: float = 1
    """Learning rate of the flow network, relative to that of the other layers."""
    lr_flow: float | None = None
    """VideoRecurrentGANModel: learning rate of the flow network."""


class StyleGANTrain(Block):
    """StyleGAN2Model: `train` block."""

    r1_reg_weight: float
    """Weight of the gradient penalty."""
    path_reg_weight: float
    """Weight of the path-length penalty."""
    path_batch_shrink: AtLeastOne
    """Batch size divided by that of the path-length penalty."""
    net_g_reg_every: AtLeastOne
    """Steps between two path-length penalties."""
    net_d_reg_every: AtLeastOne
    """Steps between two gradient penalties."""
    mixing_prob: Chance
    """Probability of mixing two styles."""


class RecurrentVal(Block):
    """VideoRecurrentModel: `val` block."""

    flip_seq: bool = False
    """Play clips backwards."""
    center_frame_only: bool = False
    """Measure the middle frame only."""


class StyleGANVal(Block):
    """StyleGAN2Model: `val` block."""

    num_val_samples: AtLeastOne = 16
    """Number of images to draw."""


MODELS: dict[str, dict[str, tuple[type[Block], ...]]] = {
    "SRModel": {"TopOptions": (SRTop,), "TrainOptions": (SRTrain,)},
    "SRGANModel": {"TopOptions": (GANTop,), "TrainOptions": (GANTrain,)},
    "HiFaceGANModel": {"TopOptions": (GANTop,), "TrainOptions": (GANTrain,)},
    "RealESRNetModel": {"TopOptions": (Degradation,)},
    "RealESRGANModel": {"TopOptions": (Degradation,)},
    "EDVRModel": {"TrainOptions": (EDVRTrain,)},
    "VideoRecurrentModel": {"TrainOptions": (FlowTrain,), "ValOptions": (RecurrentVal,)},
    "VideoRecurrentGANModel": {"TopOptions": (GANTop,), "TrainOptions": (GANTrain, FlowTrain)},
    "StyleGAN2Model": {
        "TopOptions": (SRTop, GANTop),
        "TrainOptions": (SRTrain, GANTrain, StyleGANTrain),
        "ValOptions": (StyleGANVal,),
    },
}
"""Model of BasicSR -> block -> the structs that it adds to those of its base classes."""


USUAL: dict[str, tuple[type[Block], ...]] = {"TrainOptions": (SRTrain, GANTrain)}
"""Block -> structs whose keys are checked, if present, for a model that is not registered."""


def declared(model: type, block: str) -> list[type[Block]]:
    """Return the structs that `model` and its base classes declare for a block.

    `block` is TopOptions, TrainOptions or ValOptions. Base classes come first, so that a model can
    narrow a key.
    """
    structs: list[type[Block]] = []
    for cls in reversed(model.__mro__):
        if cls.__module__.startswith("basicsr."):
            structs += MODELS.get(cls.__name__, {}).get(block, ())
        elif block in vars(cls):
            structs.append(vars(cls)[block])
    return structs


def of_dataset(dataset: type) -> type[Block] | None:
    """Return the struct of a dataset class: its `Options` or an entry of DATASETS, else None."""
    for cls in dataset.__mro__:
        if "Options" in vars(cls):
            return vars(cls)["Options"]
        if cls.__module__.startswith("basicsr.") and cls.__name__ in DATASETS:
            return DATASETS[cls.__name__]
    return None


def is_open(cls: type, *blocks: str) -> bool:
    """Return whether `cls` is a third party's and declares no keys, so that any key is accepted."""
    is_ours = cls.__module__.split(".")[0] in ("basicsr", "wxr_plugin")
    if is_ours:
        return False
    members = vars(cls)
    return not any(block in members for block in blocks)
