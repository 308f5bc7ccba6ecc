"""Training with soft residual distillation, after Tan et al. (TIP 2024, arXiv 2306.09008).

Only the paper's abstract is public; docs/sarcwp.md says which parts are the paper's and which ours.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
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
    """Keys of the `train` block, in addition to those of WxrModel."""

    srd_opt: Loss | None = None
    """Trains the masks of network_g towards the areas that CLIP finds degraded:
    {type: ClipSRDLoss, ...}. Off when absent."""


class SarCwpValOptions(Block):
    """Keys of the `val` block."""

    save_masks: bool = False
    """With save_img, write a picture of the masks next to each restored image
    (<image>_<iter>_masks.png): the photo, the mean of the masks in colour over it, and each stage's
    mask in grey."""


@MODEL_REGISTRY.register()
class SarCwpModel(WxrModel):
    """WxrModel for networks with soft masks (`sar`), which CLIP-SRD trains as well.

    Without `train.srd_opt` it trains as WxrModel does; the masks then learn from the other losses
    alone.

    Attributes:
        masked: the last Masked, of training or of validation with `val.save_masks`.
    """

    TrainOptions = SarCwpTrainOptions
    ValOptions = SarCwpValOptions

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """Return WxrModel's losses and l_srd; raise OptionError for a batch without gt."""
        if self.cri_srd is None:
            return super().losses(current_iter)
        if not hasattr(self, "gt"):
            kind = self.opt["datasets"]["train"].get("type")
            raise OptionError(
                f"train.srd_opt compares lq with gt, and datasets.train ({kind}) yields no gt: use "
                "pairs"
            )
        losses = super().losses(current_iter)
        # autocast may have made them bfloat16
        masks = [mask.float() for mask in self.masked.masks]
        projected = None
        if self.net_p:
            projected = self.net_p([residual.float() for residual in self.masked.residuals])
        losses["l_srd"] = self.cri_srd(masks, self.lq, self.gt, projected)
        return losses

    def predict(self, lq: Tensor, net: nn.Module | None = None) -> Tensor:
        """Return `lq` restored by `net` as WxrModel does; set `masked` where a loss needs it."""
        if not (self.is_train and self.cri_srd):
            return super().predict(lq, net)
        with self.autocast():
            self.masked = self.apply(self.net_g if net is None else net, lq, masks=True)
        return self.masked.restored.float()

    def networks(self) -> dict[str, nn.Module]:
        """Return the projectors too, which are trained but not saved for inference."""
        # the variants feature and both of ClipSRDLoss have them
        projectors = {"net_p": self.net_p} if self.net_p else {}
        return super().networks() | projectors

    def setup_optimizers(self) -> None:
        """Set up SRModel's optimisers and the loss on the masks.

        The projectors of the loss are a further group of network_g's optimiser.
        """
        super().setup_optimizers()
        self.cri_srd, self.net_p = None, None
        if not self.options.srd_opt:
            return
        self.cri_srd = self._checked(build_loss(self.options.srd_opt).to(self.device))
        if projectors := self.cri_srd.projectors(self._widths()):
            self.net_p = self.model_to_device(projectors)
            self.optimizer_g.add_param_group({"params": list(self.net_p.parameters())})

    def restore_tested(self, net: nn.Module) -> Tensor:
        """Return `lq` restored by `net`; set `masked` where the masks are to be drawn."""
        if not self._draws():
            return super().restore_tested(net)
        self.masked = self.apply(net, self.lq, masks=True)
        return self.masked.restored

    def write_image(self, result: np.ndarray, path: Path) -> None:
        """Write the restored image, and with `val.save_masks` the picture of its masks."""
        super().write_image(result, path)
        if self._draws():
            masks = safe_join(path.parent, f"{path.stem}_masks.png")
            imwrite(mask_picture(self.lq, self.masked.masks), str(masks))

    def _draws(self) -> bool:
        asked = (self.opt.get("val") or {}).get("save_masks")
        return bool(asked) and bool(self._widths())

    def _widths(self) -> Sequence[int]:
        """Return the widths of the stages that have masks; () for a network without masks."""
        return getattr(self.get_bare_model(self.net_g), "sar_widths", ())

    def _checked(self, loss: ClipSRDLoss) -> ClipSRDLoss:
        """Return the loss, ready for use; raise OptionError if it does not fit network or crops."""
        loss.prepare()
        stages, kind = len(self._widths()), self.opt["network_g"]["type"]
        if not stages:
            raise OptionError(
                f"train.srd_opt trains masks, and network_g ({kind}) has none: set network_g.sar: "
                "spatial"
            )
        if stages != len(loss.layers):
            raise OptionError(
                f"train.srd_opt.layers names {len(loss.layers)} layers, and network_g ({kind}) has "
                f"{stages} masks: name one for each, the mask at full size first"
            )
        size = self.opt["datasets"].get("train", {}).get("gt_size")
        if size and (problem := loss.too_small(size)):
            raise OptionError(f"datasets.train.gt_size: {problem}")
        return loss


SHARE = 0.5
"""Weight of the colours in the picture that is drawn over the photo."""


def mask_picture(lq: Tensor, masks: Sequence[Tensor]) -> np.ndarray:
    """Return the photo, the mean of its masks in colour over it, and each mask in grey.

    They are next to each other, (H, n W, 3) uint8 BGR. `lq` is (1, 3, H, W) in [0, 1], `masks` are
    (1, 1, H, W) in (0, 1), 1 where degraded. Blue is 0 and red is 1; grey is stretched to the range
    of each mask, since masks differ by where they are high, not by how high.
    """
    photo = tensor2img([lq])
    values = [mask[0, 0].float().cpu().numpy() for mask in masks]
    colours = cv2.applyColorMap(_bytes(np.mean(values, axis=0)), cv2.COLORMAP_JET)
    overlay = cv2.addWeighted(colours, SHARE, photo, 1 - SHARE, 0)
    greys = [cv2.cvtColor(_bytes(_stretched(mask)), cv2.COLOR_GRAY2BGR) for mask in values]
    return np.hstack([photo, overlay, *greys])


def _stretched(mask: np.ndarray) -> np.ndarray:
    low, high = mask.min(), mask.max()
    # a constant mask has no range
    return (mask - low) / max(high - low, 1e-6)


def _bytes(values: np.ndarray) -> np.ndarray:
    return (255 * values.clip(0, 1)).round().astype(np.uint8)
