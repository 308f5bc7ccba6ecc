"""WeatherDiff's training (Özdenizci and Legenstein, TPAMI 2023): DDPM's noise, learnt in patches of degraded images."""

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
    """Times that are visited, at most ddpm.steps; each takes a pass over all patches."""
    stride: AtLeastOne = 16
    """Pixels from one patch to the next, at most ddpm.patch; published are 16 and, slower and better, 4."""
    batch: AtLeastOne = 64
    """Patches that the network sees at once."""
    seed: NotNegative = 0
    """Of the noise; an image's noise follows from this and its pixels."""


class DDPMValOptions(Block):
    """Keys of the `val` block."""

    sampling: PatchSamplingOptions = msgspec.field(default_factory=PatchSamplingOptions)
    """How images are restored."""


class DDPMTrainOptions(WxrTrainOptions):
    """Keys of the `train` block, beside those of WxrModel."""

    pixel_opt: Loss
    """Compares the noise that the network predicts with the true one; {type: MSELoss} as published."""
    patches: AtLeastOne = 16
    """Patches of an image a step, cut at random from its crop of gt_size pixels."""


@MODEL_REGISTRY.register()
class PatchDDPMModel(WxrModel):
    """Learns the noise in states between clean patches and pure noise; restores by DDIM in overlapping patches.

    `network_g` is called as net(xt, lq, time): WeatherDiff, or what is called like it.

    Attributes:
        bars: share of the clean image in the variance of a state, (steps + 1,); time t has entry t
            + 1.
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
                f"{diffusion.patch} pixels "
                f"(ddpm.patch): take {diffusion.patch} or less"
            )
        super().__init__(opt)
        self.bars = alpha_bars(diffusion.steps).to(self.device)

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """The error of the predicted noise; half of the patches at random times, the others at their mirror images."""
        lq, gt = self._patches()
        steps = self.diffusion.steps
        drawn = torch.randint(steps, (len(lq) // 2 + 1,), device=self.device)
        time = torch.cat((drawn, steps - 1 - drawn))[: len(lq)]
        noise, clean = torch.randn_like(gt), self.bars[time + 1].view(-1, 1, 1, 1)
        xt = clean.sqrt() * (2 * gt - 1) + (1 - clean).sqrt() * noise
        found = self.predict_noise(xt, lq, time)
        self.output = ((xt - (1 - clean).sqrt() * found.detach()) / clean.sqrt() + 1) / 2
        return OrderedDict(l_noise=self.cri_pix(found, noise))

    def predict_noise(self, xt: Tensor, lq: Tensor, time: Tensor) -> Tensor:
        """net_g's noise in `xt` under `train.amp`; float32."""
        with torch.autocast(
            self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        ):
            return self.net_g(xt, lq, time).float()

    def test(self) -> None:
        """Sample restorations of `self.lq` into `self.output`, with the EMA network or, without one, net_g; float32."""
        net = getattr(self, "net_g_ema", None) or self.get_bare_model(self.net_g)
        training, how = net.training, self.sampling
        net.eval()
        with self._uncompiled():
            self.output = sample_in_patches(
                net,
                self.lq,
                how.steps,
                self.diffusion.patch,
                how.stride,
                how.batch,
                self.diffusion.steps,
                [image_generator(image, how.seed) for image in self.lq],
            )
        net.train(training)

    def beside_weights(self) -> dict[str, Any]:
        """The diffusion, so that a checkpoint can be sampled without its option file."""
        return super().beside_weights() | {"ddpm": msgspec.to_builtins(self.diffusion)}

    def _patches(self) -> tuple[Tensor, Tensor]:
        """`train.patches` places of each crop, drawn evenly: lq and gt (N * patches, 3, patch, patch)."""
        size, (height, width) = self.diffusion.patch, self.gt.shape[-2:]
        if min(height, width) < size:
            raise OptionError(
                f"datasets.train.gt_size: crops of {width}x{height} hold no patches of {size} "
                f"pixels (ddpm.patch); "
                "make gt_size larger"
            )
        count = len(self.gt) * self.options.patches
        tops, lefts = (
            torch.randint(side - size + 1, (count,)).tolist() for side in (height, width)
        )
        areas = [
            (
                index // self.options.patches,
                slice(None),
                slice(top, top + size),
                slice(left, left + size),
            )
            for index, (top, left) in enumerate(zip(tops, lefts, strict=True))
        ]
        return tuple(torch.stack([images[area] for area in areas]) for images in (self.lq, self.gt))

    def _check_options(self) -> None:
        super()._check_options()
        if self.opt["train"].get("perceptual_opt"):
            raise OptionError(
                "train.perceptual_opt is not part of PatchDDPMModel's loss, which is of noise: "
                "remove it"
            )
