"""Training of WeatherDiff (Özdenizci and Legenstein, TPAMI 2023).

The noise of a DDPM is learnt in patches of degraded images.
"""

from collections import OrderedDict
from typing import Any

import msgspec
import torch
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor

from wxr_plugin.errors import OptionError
from wxr_plugin.models.wxr_model import WxrModel
from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.sampling.noise import image_generator
from wxr_plugin.sampling.options import DDPMOptions
from wxr_plugin.sampling.patch_ddim import alpha_bars, sample_in_patches
from wxr_plugin.sampling.sampler import check_steps
from wxr_plugin.schema import AtLeastOne, Block, Loss, NotNegative


class DDPMTopOptions(Block):
    """Keys at the top level of the file, for training and testing alike."""

    ddpm: DDPMOptions = msgspec.field(default_factory=DDPMOptions)
    """The diffusion; a file for testing repeats that of training."""


class PatchSamplingOptions(Block):
    """How images are restored in validation and testing."""

    steps: AtLeastOne = 25
    """Number of times that are visited, at most ddpm.steps; each takes a pass over all patches."""
    stride: AtLeastOne = 16
    """Pixels from one patch to the next, at most ddpm.patch; published are 16 and 4, which is
    slower and better."""
    batch: AtLeastOne = 64
    """Number of patches in a batch of the network."""
    seed: NotNegative = 0
    """Seed of the noise; the noise of an image depends on it and on the pixels alone."""


class DDPMValOptions(Block):
    """Keys of the `val` block."""

    sampling: PatchSamplingOptions = msgspec.field(default_factory=PatchSamplingOptions)
    """How images are restored."""


class DDPMTrainOptions(WxrTrainOptions):
    """Keys of the `train` block, in addition to those of WxrModel."""

    pixel_opt: Loss
    """Loss of the predicted noise against the true one; {type: MSELoss} as published."""
    patches: AtLeastOne = 16
    """Number of patches per image and iteration, cut at random from its crop of gt_size pixels."""


@MODEL_REGISTRY.register()
class PatchDDPMModel(WxrModel):
    """Learns the noise in states between clean patches and pure noise.

    It restores by DDIM in overlapping patches. `network_g` is called as net(xt, lq, time), as
    WeatherDiff is.

    Attributes:
        bars: share of the clean image in the variance of a state, (steps + 1,); entry t + 1 is of
            time t.
        output: in training the clean patches that the predicted noise implies; in validation the
            sample.
    """

    TopOptions = DDPMTopOptions
    TrainOptions = DDPMTrainOptions
    ValOptions = DDPMValOptions

    def __init__(self, opt: dict[str, Any]):
        self.sampling = DDPMValOptions.read(opt.get("val") or {}).sampling
        self.diffusion = diffusion = DDPMTopOptions.read(opt).ddpm
        check_steps(self.sampling.steps, diffusion.steps)
        if self.sampling.stride > diffusion.patch:
            raise OptionError(
                f"val.sampling.stride {self.sampling.stride} leaves gaps between patches of "
                f"{diffusion.patch} pixels (ddpm.patch): take {diffusion.patch} or less"
            )
        super().__init__(opt)
        self.bars = alpha_bars(diffusion.steps).to(self.device)

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """Return the error of the noise at random times, in mirrored pairs (t, steps - 1 - t)."""
        lq, gt = self._patches()
        steps = self.diffusion.steps
        drawn = torch.randint(steps, (len(lq) // 2 + 1,), device=self.device)
        time = torch.cat((drawn, steps - 1 - drawn))[: len(lq)]
        noise = torch.randn_like(gt)
        # share of the clean patch in the variance, (N, 1, 1, 1); networks see images in [-1, 1]
        clean = self.bars[time + 1].view(-1, 1, 1, 1)
        xt = clean.sqrt() * (2 * gt - 1) + (1 - clean).sqrt() * noise
        predicted = self.predict_noise(xt, lq, time)
        x0 = (xt - (1 - clean).sqrt() * predicted.detach()) / clean.sqrt()
        self.output = (x0 + 1) / 2
        return OrderedDict(l_noise=self.cri_pix(predicted, noise))

    def predict_noise(self, xt: Tensor, lq: Tensor, time: Tensor) -> Tensor:
        """Return the noise that net_g finds in `xt` (N, 3, H, W) at `time` (N,), as float32."""
        with self.autocast():
            return self.net_g(xt, lq, time).float()

    def test(self) -> None:
        """Sample restorations of `lq` into `output` (float32) with the EMA network, or net_g."""
        sampling = self.sampling
        with self.evaluating() as net:
            self.output = sample_in_patches(
                net,
                self.lq,
                sampling.steps,
                self.diffusion.patch,
                sampling.stride,
                sampling.batch,
                self.diffusion.steps,
                [image_generator(image, sampling.seed) for image in self.lq],
            )

    def network_metadata(self) -> dict[str, Any]:
        """Return the diffusion too, so that a checkpoint can be sampled without its option file."""
        return super().network_metadata() | {"ddpm": msgspec.to_builtins(self.diffusion)}

    def _patches(self) -> tuple[Tensor, Tensor]:
        """Return random patches of each crop: lq and gt, (N * patches, 3, patch, patch)."""
        size, (height, width) = self.diffusion.patch, self.gt.shape[-2:]
        if min(height, width) < size:
            raise OptionError(
                f"datasets.train.gt_size: crops of {width}x{height} hold no patches of {size} "
                "pixels (ddpm.patch); make gt_size larger"
            )
        count = len(self.gt) * self.options.patches
        tops = torch.randint(height - size + 1, (count,)).tolist()
        lefts = torch.randint(width - size + 1, (count,)).tolist()
        lq, gt = [], []
        for number, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            image = number // self.options.patches
            rows, columns = slice(top, top + size), slice(left, left + size)
            # both images at the same place
            lq.append(self.lq[image, :, rows, columns])
            gt.append(self.gt[image, :, rows, columns])
        return torch.stack(lq), torch.stack(gt)

    def _check_options(self) -> None:
        super()._check_options()
        if self.opt["train"].get("perceptual_opt"):
            raise OptionError(
                "train.perceptual_opt is not part of PatchDDPMModel's loss, which is of noise: "
                "remove it"
            )
