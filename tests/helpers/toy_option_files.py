"""Option files as BasicSR's users write them, with their folders, for the tests of the checker."""

import json
from pathlib import Path

import cv2
import numpy as np

from wxr_plugin.options import files as option_files
from wxr_plugin.options import safe_yaml

MSRRESNET = """\
name: 001_MSRResNet_x4
model_type: SRModel
scale: 4
num_gpu: 0
manual_seed: 0

datasets:
  train:
    name: DIV2K
    type: PairedImageDataset
    dataroot_gt: ROOT/train_gt
    dataroot_lq: ROOT/train_lq
    filename_tmpl: '{}'
    io_backend:
      type: disk

    gt_size: 32
    use_hflip: true
    use_rot: true

    num_worker_per_gpu: 6
    batch_size_per_gpu: 16
    dataset_enlarge_ratio: 100
    prefetch_mode: ~

  val:
    name: Set5
    type: PairedImageDataset
    dataroot_gt: ROOT/val_gt
    dataroot_lq: ROOT/val_lq
    io_backend:
      type: disk

network_g:
  type: MSRResNet
  num_in_ch: 3
  num_out_ch: 3
  num_feat: 64
  num_block: 16
  upscale: 4

path:
  pretrain_network_g: ~
  param_key_g: params
  strict_load_g: true
  resume_state: ~

train:
  ema_decay: 0.999
  optim_g:
    type: Adam
    lr: !!float 2e-4
    weight_decay: 0
    betas: [0.9, 0.99]

  scheduler:
    type: CosineAnnealingRestartLR
    periods: [250000, 250000, 250000, 250000]
    restart_weights: [1, 1, 1, 1]
    eta_min: !!float 1e-7

  total_iter: 1000000
  warmup_iter: -1

  pixel_opt:
    type: L1Loss
    loss_weight: 1.0
    reduction: mean

val:
  val_freq: !!float 5e3
  save_img: false
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 4
      test_y_channel: false
      better: higher
    niqe:
      type: calculate_niqe
      crop_border: 4
      better: lower

logger:
  print_freq: 100
  save_checkpoint_freq: !!float 5e3
  use_tb_logger: true
  wandb:
    project: ~
    resume_id: ~

dist_params:
  backend: nccl
  port: 29500
"""

ESRGAN = """\
model_type: ESRGANModel
network_g: {type: RRDBNet, num_in_ch: 3, num_out_ch: 3, num_feat: 64, num_block: 23}
network_d: {type: VGGStyleDiscriminator, num_in_ch: 3, num_feat: 64}
path: {pretrain_network_g: ROOT/net_g.pth, strict_load_g: true, resume_state: ~}
train:
  ema_decay: 0.999
  optim_g: {type: Adam, lr: 1e-4, weight_decay: 0, betas: [0.9, 0.99]}
  optim_d: {type: Adam, lr: 1e-4, weight_decay: 0, betas: [0.9, 0.99]}
  scheduler: {type: MultiStepLR, milestones: [50000, 100000, 200000, 300000], gamma: 0.5}
  total_iter: 400000
  warmup_iter: -1
  pixel_opt: {type: L1Loss, loss_weight: 1e-2, reduction: mean}
  perceptual_opt:
    type: PerceptualLoss
    layer_weights: {conv5_4: 1}
    vgg_type: vgg19
    use_input_norm: true
    range_norm: false
    perceptual_weight: 1.0
    style_weight: 0
    criterion: l1
  gan_opt: {type: GANLoss, gan_type: vanilla, real_label_val: 1.0, fake_label_val: 0.0, \
loss_weight: 5e-3}
  net_d_iters: 1
  net_d_init_iters: 0
"""

DEGRADATION = """\
model_type: RealESRNetModel
gt_usm: true
resize_prob: [0.2, 0.7, 0.1]
resize_range: [0.15, 1.5]
gaussian_noise_prob: 0.5
noise_range: [1, 30]
poisson_scale_range: [0.05, 3]
gray_noise_prob: 0.4
jpeg_range: [30, 95]
second_blur_prob: 0.8
resize_prob2: [0.3, 0.4, 0.3]
resize_range2: [0.3, 1.2]
gaussian_noise_prob2: 0.5
noise_range2: [1, 25]
poisson_scale_range2: [0.05, 2.5]
gray_noise_prob2: 0.4
jpeg_range2: [30, 95]
gt_size: 256
queue_size: 180
network_g: {type: RRDBNet, num_in_ch: 3, num_out_ch: 3, scale: 4}
"""

BLIND = """\
name: DF2K+OST
type: RealESRGANDataset
dataroot_gt: ROOT/train_gt
meta_info: ROOT/meta_info.txt
io_backend: {type: disk}
blur_kernel_size: 21
kernel_list: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', \
'plateau_aniso']
kernel_prob: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
sinc_prob: 0.1
blur_sigma: [0.2, 3]
betag_range: [0.5, 4]
betap_range: [1, 2]
blur_kernel_size2: 21
kernel_list2: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', \
'plateau_aniso']
kernel_prob2: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
sinc_prob2: 0.1
blur_sigma2: [0.2, 1.5]
betag_range2: [0.5, 4]
betap_range2: [1, 2]
final_sinc_prob: 0.8
gt_size: 256
use_hflip: true
use_rot: false
use_shuffle: true
num_worker_per_gpu: 5
batch_size_per_gpu: 12
dataset_enlarge_ratio: 1
prefetch_mode: ~
"""


def make_folders(root: Path) -> None:
    """Write the folders of `MSRRESNET` below `root`: three training and two validation pairs.

    No image occurs twice.
    """
    generator = np.random.default_rng(0)
    for phase, count in (("train", 3), ("val", 2)):
        for index in range(count):
            for kind, side in (("gt", 32), ("lq", 8)):
                file = root / f"{phase}_{kind}" / f"{index:04d}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(file), generator.integers(0, 256, (side, side, 3), dtype=np.uint8))


def parse(text: str, root: Path) -> dict:
    """Return `text` as options, with ROOT replaced."""
    return safe_yaml.parse(text.replace("ROOT", str(root)))


def short(opt: dict) -> dict:
    """Return `opt` with a tiny network and a run of a second."""
    opt["network_g"] |= {"num_feat": 4, "num_block": 1}
    opt["train"] |= {
        "total_iter": 2,
        "ema_decay": 0,
        "scheduler": {"type": "MultiStepLR", "milestones": [1]},
    }
    opt["datasets"]["train"] |= {
        "num_worker_per_gpu": 0,
        "batch_size_per_gpu": 1,
        "dataset_enlarge_ratio": 1,
    }
    opt["logger"] |= {"use_tb_logger": False}
    opt["val"]["metrics"] = {"psnr": opt["val"]["metrics"]["psnr"]}
    return opt


def problems(opt: dict, root: Path, is_train: bool = True) -> list[option_files.Problem]:
    """Return the problems of `opt` in a file of `root`; JSON is YAML, with one key per line."""
    file = root / "options.yml"
    file.write_text(json.dumps(opt, indent=1))
    return option_files.check(option_files.load(file), file, is_train)


def problem_texts(opt: dict, root: Path, is_train: bool = True) -> dict[str, str]:
    """Return the problem and its fix, keyed by the path of the key."""
    return {
        problem.key: f"{problem.fault}; {problem.fix}" for problem in problems(opt, root, is_train)
    }
