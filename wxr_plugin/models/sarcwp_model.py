"""Training with soft residual distillation, after Tan et al. (TIP 2024, arXiv 2306.09008).

Only the paper's abstract is public; docs/sarcwp.md says what is the paper's and what is ours.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from basicsr.losses import build_loss
from basicsr.utils import imwrite, tensor2img
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn

from wxr_plugin.errors import OptionError
from wxr_plugin.losses.clip_srd_loss import ClipSRDLoss
from wxr_plugin.models.wxr_model import WxrModel
from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.schema import Block, Loss
from wxr_plugin.utils.safe_paths import safe_join


class SarCwpTrainOptions(WxrTrainOptions):
    """WxrModel's, and the loss on the masks."""

    srd_opt: Loss | None = None
    """Trains the masks of network_g towards what CLIP finds degraded: {type: ClipSRDLoss, ...}.

    Off when absent.
    """


class SarCwpValOptions(Block):
    """Pictures of the masks."""

    save_masks: bool = False
    """With save_img: beside each restored image write one of what the network took to be degraded
    (<image>_<iter>_masks.png): the photo, the mean of the masks in colour over it, and each stage's
    mask in grey."""


@MODEL_REGISTRY.register()
class SarCwpModel(WxrModel):
    """WxrModel for networks with soft masks (`sar`), whose masks CLIP-SRD trains besides.

    Without `train.srd_opt` it trains as WxrModel does; the masks then learn from the other losses
    alone.

    Attributes:
        masked: the last Masked, of training or of validation with `val.save_masks`.
    """

    TrainOptions = SarCwpTrainOptions
    ValOptions = SarCwpValOptions

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """WxrModel's, and l_srd. Raises OptionError for a batch without clean images."""
        if self.cri_srd and not hasattr(self, "gt"):
            kind = self.opt["datasets"]["train"].get("type")
            raise OptionError(
                f"train.srd_opt compares lq with gt, and datasets.train ({kind}) yields no gt: use "
                f"pairs"
            )
        losses = super().losses(current_iter)
        if self.cri_srd:
            masks, projected = [mask.float() for mask in self.masked.masks], None
            if self.net_p:
                projected = self.net_p([residual.float() for residual in self.masked.residuals])
            losses["l_srd"] = self.cri_srd(masks, self.lq, self.gt, projected)
        return losses

    def predict(self, lq: Tensor, net: nn.Module | None = None) -> Tensor:
        """As WxrModel's; keeps the masks where a loss needs them."""
        if not (self.is_train and self.cri_srd):
            return super().predict(lq, net)
        with torch.autocast(
            self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        ):
            self.masked = self.apply(self.net_g if net is None else net, lq, masks=True)
        return self.masked.restored.float()

    def networks(self) -> dict[str, nn.Module]:
        """With the projectors of the variants feature and both, which are trained but not saved for inference."""
        return super().networks() | ({"net_p": self.net_p} if self.net_p else {})

    # what follows overrides the host

    def setup_optimizers(self) -> None:
        """The host's, after the loss on the masks; its projectors are a further group of network_g's optimiser."""
        super().setup_optimizers()
        self.cri_srd, self.net_p = None, None
        if not self.options.srd_opt:
            return
        self.cri_srd = self._checked(build_loss(self.options.srd_opt).to(self.device))
        if projectors := self.cri_srd.projectors(self._widths()):
            self.net_p = self.model_to_device(projectors)
            self.optimizer_g.add_param_group({"params": list(self.net_p.parameters())})

    def restore_tested(self, net: nn.Module) -> Tensor:
        """As the base's; keeps the masks where they are to be drawn."""
        if not self._draws():
            return super().restore_tested(net)
        self.masked = self.apply(net, self.lq, masks=True)
        return self.masked.restored

    def write_image(self, result: np.ndarray, path: Path) -> None:
        """The restored image, and with `val.save_masks` the picture of its masks beside it."""
        super().write_image(result, path)
        if self._draws():
            masks = safe_join(path.parent, f"{path.stem}_masks.png")
            imwrite(mask_picture(self.lq, self.masked.masks), str(masks))

    def _draws(self) -> bool:
        return bool((self.opt.get("val") or {}).get("save_masks")) and bool(self._widths())

    def _widths(self) -> Sequence[int]:
        return getattr(self.get_bare_model(self.net_g), "sar_widths", ())

    def _checked(self, loss: ClipSRDLoss) -> ClipSRDLoss:
        loss.prepare()
        stages, kind = len(self._widths()), self.opt["network_g"]["type"]
        if not stages:
            raise OptionError(
                f"train.srd_opt trains masks, and network_g ({kind}) has none: set network_g.sar: "
                f"spatial"
            )
        if stages != len(loss.layers):
            raise OptionError(
                f"train.srd_opt.layers names {len(loss.layers)} layers, and network_g ({kind}) has "
                f"{stages} masks: "
                "name one for each, the mask at full size first"
            )
        size = self.opt["datasets"].get("train", {}).get("gt_size")
        if size and (problem := loss.too_small(size)):
            raise OptionError(f"datasets.train.gt_size: {problem}")
        return loss


SHARE = 0.5
"""Of the colours in what is laid over the photo."""


def mask_picture(lq: Tensor, masks: Sequence[Tensor]) -> np.ndarray:
    """The photo, the mean of its masks in colour over it, and each mask in grey, side by side; (H, n W, 3) uint8 BGR.

    `lq` is (1, 3, H, W) in [0, 1], `masks` are (1, 1, H, W) in (0, 1), 1 where degraded. Blue is 0
    and red is 1; grey is stretched to the mask's own range, since masks are told by where they are
    high, not by how high.
    """
    photo = tensor2img([lq])
    grey = [mask[0, 0].float().cpu().numpy() for mask in masks]
    colours = cv2.applyColorMap(_bytes(np.mean(grey, axis=0)), cv2.COLORMAP_JET)
    over = cv2.addWeighted(colours, SHARE, photo, 1 - SHARE, 0)
    return np.hstack(
        [
            photo,
            over,
            *(cv2.cvtColor(_bytes(_stretched(mask)), cv2.COLOR_GRAY2BGR) for mask in grey),
        ]
    )


def _stretched(mask: np.ndarray) -> np.ndarray:
    low, high = mask.min(), mask.max()
    return (mask - low) / max(high - low, 1e-6)


def _bytes(values: np.ndarray) -> np.ndarray:
    return (255 * values.clip(0, 1)).round().astype(np.uint8)
