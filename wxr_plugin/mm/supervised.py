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
from wxr_plugin.hub import fetched_file
from wxr_plugin.inference.diffusion import predicts_noise
from wxr_plugin.mm.datasets import plain

Mode = Literal["tensor", "loss", "predict"]


@MODELS.register_module()
class WxrPreprocessor(BaseDataPreprocessor):
    """Preprocessor that moves a batch to the device, without changing its values."""

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Return the batch of a WxrDataset on the device, whichever function collated it."""
        batch = {}
        for key, value in self.cast_data(data).items():
            # MMEngine's own pseudo_collate makes lists of images
            is_list = isinstance(value, list) and isinstance(value[0], Tensor)
            batch[key] = torch.stack(value) if is_list else value
        return batch


@MODELS.register_module()
class WxrSupervised(BaseModel):
    """Network trained from pairs; its weights are `generator.*`, as in MMagic's BaseEditModel.

    Args:
        generator: the network: {type: MSBDN, ...}, of MMEngine's registry or of BasicSR's.
        pixel_loss: {type: L1Loss}, of either registry; its inputs are images (N, 3, H, W) in
            [0, 1].
        perceptual_loss: BasicSR's PerceptualLoss, or one that returns two terms as it does; off
            when None.
        pretrained: file of weights to start from, BasicSR's or any other that `wxr restore`
            reads, or a reference to the hub (hf://OWNER/NAME).
        data_preprocessor, init_cfg: as in MMEngine's BaseModel.

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
            pretrained = str(fetched_file(pretrained))
            load_into(self.generator, load_weights(pretrained), pretrained)

    def forward(
        self, lq: Tensor, gt: Tensor | None = None, mode: Mode = "tensor", **more: Any
    ) -> Any:
        """Return restored images, losses or predictions, as `mode` says.

        Args:
            lq: degraded images, (N, 3, H, W) in [0, 1].
            gt: their ground truth, (N, 3, H, W) in [0, 1].
            mode: `tensor` for restored images, `loss` for a dict of weighted losses, `predict` for
                a dict for each image: `pred` (3, H, W) in float32, not clamped, and the entries
                that the batch has of that image.
            more: the rest of the batch.
        """
        if mode == "loss":
            return self.losses(lq, gt, **more)
        if mode == "tensor":
            return self.generator(lq)
        return predictions(self.restore(lq).float(), {"gt": gt, **more})

    def restore(self, lq: Tensor) -> Tensor:
        """Return the restored images of validation."""
        return self.generator(lq)

    def losses(self, lq: Tensor, gt: Tensor, **more: Any) -> dict[str, Tensor]:
        """Return weighted losses keyed by name; MMEngine sums up those with `loss` in it."""
        return self.paired(self.generator(lq).float(), gt)

    def paired(self, output: Tensor, gt: Tensor) -> dict[str, Tensor]:
        """Return the losses of restored images against ground truth, computed in float32."""
        with torch.autocast(output.device.type, enabled=False):
            losses = {"loss_pix": self.cri_pix(output, gt)}
            if self.cri_perceptual:
                losses["loss_percep"], losses["loss_style"] = self.cri_perceptual(output, gt)
        return {name: loss for name, loss in losses.items() if loss is not None}


def predictions(restored: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a dict for each restored image (N, 3, H, W): `pred`, and its entries of `batch`."""
    # tensors and lists have one entry per image; other values, such as None, have none
    columns = {
        key: value for key, value in batch.items() if isinstance(value, Tensor | list | tuple)
    }
    results = []
    for row, image in enumerate(restored):
        entries = {key: value[row] for key, value in columns.items()}
        results.append({"pred": image, **entries})
    return results


def built(block: Mapping[str, Any], registry: Any, build: Any) -> nn.Module:
    """Return the module that `block` describes, of MMEngine's registry or of BasicSR's.

    Args:
        block: options with a `type`.
        registry: of BasicSR.
        build: builds a module of `registry`; used only for types that MMEngine, in the current
            scope, does not have.
    """
    block = plain(block)
    if block["type"] in registry and not _is_registered(block["type"]):
        return build(block)
    return MODELS.build(block)


def _is_registered(kind: str) -> bool:
    with MODELS.switch_scope_and_registry(None) as registry:
        try:
            return registry.get(kind) is not None
        except RuntimeError:  # mmengine raises it for unknown names
            return False


def _check_called(net: nn.Module) -> None:
    """Raise OptionError for a network that is not called as net(lq)."""
    name = type(net).__name__
    if predicts_noise(net):
        raise OptionError(
            f"{name} predicts noise: train it with BasicSR, as an IRSDEModel or a PatchDDPMModel"
        )
    if context_inputs(net):
        raise OptionError(
            f"{name} is steered by a guide's context: train it with BasicSR (WxrModel with a "
            "`guide`)"
        )
