"""Supervised restoration under MMEngine's Runner."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from wxr_plugin.archs.context import context_inputs
from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.checkpoints.fitting import load_into
from wxr_plugin.errors import OptionError
from wxr_plugin.inference.diffusion import predicts_noise
from wxr_plugin.mm.datasets import plain

Mode = Literal["tensor", "loss", "predict"]


@MODELS.register_module()
class WxrPreprocessor(BaseDataPreprocessor):
    """Takes a batch to the device as it is; lists of images, as MMEngine's own collate gives them, are stacked."""

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """The batch of a WxrDataset, joined by any collate function."""
        data = self.cast_data(data)
        return {
            key: torch.stack(value)
            if isinstance(value, list) and isinstance(value[0], Tensor)
            else value
            for key, value in data.items()
        }


@MODELS.register_module()
class WxrSupervised(BaseModel):
    """A network trained from pairs.

    Its weights are called `generator.…`, as in MMagic's BaseEditModel.

    Args:
        generator: the network: {type: MSBDN, …}, of MMEngine's registry or of BasicSR's.
        pixel_loss: {type: L1Loss}, of either registry; it is called with images (N, 3, H, W) in [0,
            1].
        perceptual_loss: BasicSR's PerceptualLoss, or one that gives two terms as it does; off when
            None.
        pretrained: file of weights to start from, BasicSR's or any other that `wxr restore` reads.

    Raises:
        OptionError: a network that this model cannot call.
        CheckpointError: weights that do not fit.
    """

    def __init__(
        self,
        generator: Mapping[str, Any],
        pixel_loss: Mapping[str, Any],
        perceptual_loss: Mapping[str, Any] | None = None,
        pretrained: str | None = None,
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ):
        super().__init__(data_preprocessor or {"type": "WxrPreprocessor"}, init_cfg)
        self.network_g = plain(generator)
        self.generator = built(generator, ARCH_REGISTRY, build_network)
        _check_called(self.generator)
        self.cri_pix = built(pixel_loss, LOSS_REGISTRY, build_loss)
        self.cri_perceptual = (
            built(perceptual_loss, LOSS_REGISTRY, build_loss) if perceptual_loss else None
        )
        if pretrained:
            load_into(self.generator, load_weights(pretrained), pretrained)

    def forward(
        self, lq: Tensor, gt: Tensor | None = None, mode: Mode = "tensor", **more: Any
    ) -> Any:
        """`tensor`: restored images; `loss`: a dict of weighted losses; `predict`: a dict for each image of the batch.

        `lq` and `gt` are (N, 3, H, W) in [0, 1]; `more` is the rest of the batch. A prediction has
        `pred` (3, H, W) in float32, not clamped, and what the batch has of that image.
        """
        if mode == "loss":
            return self.losses(lq, gt, **more)
        if mode == "tensor":
            return self.generator(lq)
        return predictions(self.restore(lq).float(), {"gt": gt, **more})

    def restore(self, lq: Tensor) -> Tensor:
        """What is validated."""
        return self.generator(lq)

    def losses(self, lq: Tensor, gt: Tensor, **more: Any) -> dict[str, Tensor]:
        """Weighted losses by name; MMEngine adds up those whose name contains `loss`."""
        return self.paired(self.generator(lq).float(), gt)

    def paired(self, output: Tensor, gt: Tensor) -> dict[str, Tensor]:
        """The losses of restored images with ground truth, in float32 whatever the network computes in."""
        with torch.autocast(output.device.type, enabled=False):
            losses = {"loss_pix": self.cri_pix(output, gt)}
            if self.cri_perceptual:
                losses["loss_percep"], losses["loss_style"] = self.cri_perceptual(output, gt)
        return {name: loss for name, loss in losses.items() if loss is not None}


def predictions(restored: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A dict for each image: `pred`, and its part of everything in `batch` that has as many parts."""
    known = {key: value for key, value in batch.items() if isinstance(value, Tensor | list | tuple)}
    return [
        {"pred": image, **{key: value[row] for key, value in known.items()}}
        for row, image in enumerate(restored)
    ]


def built(block: Mapping[str, Any], registry: Any, build: Any) -> nn.Module:
    """What `block` describes, of MMEngine's registry in the current scope, or else by BasicSR's `build`."""
    block = plain(block)
    return (
        build(block)
        if block["type"] in registry and not _knows(block["type"])
        else MODELS.build(block)
    )


def _knows(kind: str) -> bool:
    with MODELS.switch_scope_and_registry(None) as registry:
        try:
            return registry.get(kind) is not None
        except RuntimeError:  # what mmengine makes of a name that it does not know
            return False


def _check_called(net: nn.Module) -> None:
    name = type(net).__name__
    if predicts_noise(net):
        raise OptionError(
            f"{name} predicts noise: train it with BasicSR, as an IRSDEModel or a PatchDDPMModel"
        )
    if context_inputs(net):
        raise OptionError(
            f"{name} is steered by a guide's context: train it with BasicSR (WxrModel with a "
            f"`guide`)"
        )
