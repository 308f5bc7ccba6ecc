"""IR-SDE: restoration by a mean-reverting stochastic differential equation (Luo et al., ICML 2023).

With a `ConditionalUNet` that takes a context it is the restorer of DA-CLIP (Luo et al., ICLR 2024).
"""

from collections import OrderedDict
from typing import Any

import msgspec
import torch
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor

from wxr_plugin.archs.context import Context
from wxr_plugin.errors import OptionError
from wxr_plugin.inference.diffusion import Diffusion, predict
from wxr_plugin.models.wxr_model import WxrModel
from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.sampling import sde
from wxr_plugin.sampling.options import SamplingOptions, SDEOptions
from wxr_plugin.sampling.sampler import check_steps
from wxr_plugin.schema import Block, Loss


class IRSDETopOptions(Block):
    """Keys at the top level of the file, for training and testing alike."""

    sde: SDEOptions = msgspec.field(default_factory=SDEOptions)
    """The equation; a file for testing repeats that of training."""


class IRSDEValOptions(Block):
    """Keys of the `val` block."""

    sampling: SamplingOptions = msgspec.field(default_factory=SamplingOptions)
    """How images are restored."""


class IRSDETrainOptions(WxrTrainOptions):
    """Keys of the `train` block, in addition to those of WxrModel."""

    pixel_opt: Loss
    """The matching loss: compares the step that the network predicts with the optimum one;
    {type: L1Loss} as published."""


@MODEL_REGISTRY.register()
class IRSDEModel(WxrModel):
    """Learns the noise in states between clean and degraded images; restores by sampling.

    `network_g` is called as net(xt, lq, time) or, where it takes a context, net(xt, lq, time,
    context); the context is that of the whole image, also where it is sampled in tiles.

    Attributes:
        schedule: the times that are trained.
        output: in training the clean images that the predicted noise implies; in validation the
            sample.
    """

    TopOptions = IRSDETopOptions
    TrainOptions = IRSDETrainOptions
    ValOptions = IRSDEValOptions

    def __init__(self, opt: dict[str, Any]):
        self.sampling = IRSDEValOptions.read(opt.get("val") or {}).sampling
        self.equation = equation = IRSDETopOptions.read(opt).sde
        check_steps(self.sampling.steps or equation.steps, equation.steps)
        super().__init__(opt)
        self.schedule = equation.make().to(self.device)

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """Return the matching loss, with a time for each image, drawn uniformly as in the paper."""
        schedule, lq, gt = self.schedule, self.lq, self.gt
        t = torch.randint(1, schedule.steps + 1, (len(lq),), device=self.device)
        xt = sde.noisy_state(gt, lq, torch.randn_like(gt), t, schedule)
        noise = self.predict_noise(xt, lq, t, self.context(lq))
        # for the pictures of training alone, so it needs no gradient
        self.output = sde.x0_from_noise(xt, lq, noise.detach(), t, schedule)
        is_preconditioned = self.equation.precondition
        loss_of = sde.preconditioned_loss if is_preconditioned else sde.matching_loss
        return OrderedDict(l_match=loss_of(noise, xt, gt, lq, t, schedule, self.cri_pix))

    def predict_noise(self, xt: Tensor, lq: Tensor, t: Tensor, context: Context | None) -> Tensor:
        """Return the noise that net_g finds in `xt` (N, 3, H, W) at times `t` (N,), as float32."""

        def network(state: Tensor) -> Tensor:
            with self.autocast():
                return predict(self.net_g, state, lq, t, context).float()

        if self.equation.precondition:
            return sde.preconditioned(network, xt, lq, t, self.schedule)
        return network(xt)

    def test(self) -> None:
        """Sample restorations of `lq` into `output` (float32) with the EMA network, or net_g."""
        with self.evaluating() as net:
            diffusion, sampling = Diffusion(self.equation, self.sampling), self.sampling
            context = self.context(self.lq)
            self.output = diffusion.sample(net, self.lq, context, sampling.tile, sampling.overlap)

    def network_metadata(self) -> dict[str, Any]:
        """Return the equation too, so that a checkpoint can be sampled without its option file."""
        return super().network_metadata() | {"sde": msgspec.to_builtins(self.equation)}

    def _check_options(self) -> None:
        super()._check_options()
        if self.opt["train"].get("perceptual_opt"):
            raise OptionError(
                "train.perceptual_opt is not part of IRSDEModel's loss, which compares states: "
                "remove it"
            )
