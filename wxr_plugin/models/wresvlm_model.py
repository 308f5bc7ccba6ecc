"""WResVLM: semi-supervised restoration with a vision-language model (Xu et al., arXiv 2409.02101).

The authors published no training code; docs/wresvlm.md says which parts are the paper's and which
are our choice.
"""

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor

from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.errors import OptionError
from wxr_plugin.models.base.val_metrics import validation_metrics
from wxr_plugin.models.wxr_model import WxrModel
from wxr_plugin.pseudo_labelling.guided_losses import GuidedLosses
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.options import WResVLMTrainOptions
from wxr_plugin.pseudo_labelling.unlabelled import Unlabelled, restored_together
from wxr_plugin.vlm.registries import same_answers


@MODEL_REGISTRY.register()
class WResVLMModel(WxrModel):
    """L = L_sup + w1 L_ps + w2 L_wpl + w3 L_sem + w4 L_feat of a student; its EMA is the teacher.

    L_sup compares pairs (`lq`, `gt`). Of the unlabelled photos (`real`, named by `real_key`) the
    teacher makes restorations; a vision-language model rates them, and the best-rated image of each
    photo so far is its pseudo-label. L_ps compares the student's restoration with it; L_wpl asks
    that CLIP finds it clear, L_sem that it fits the photo's description rewritten for clear
    weather, L_feat that its structure stays. Labels change with an update of the weights or not at
    all, and a resumed run has those of its checkpoint.
    """

    TrainOptions = WResVLMTrainOptions

    def init_training_settings(self) -> None:
        """Set up training as WxrModel does, then losses, rater and label store."""
        super().init_training_settings()
        folder = Path(self.opt["path"]["experiments_root"])
        plugins = self.opt.get("plugins") or ()
        self.unlabelled = Unlabelled(self.options, self.device, folder, plugins)
        self._warn_of_missing_texts()
        self._warn_of_dependent_judges()
        if not self.opt["path"].get("resume_state"):
            self.unlabelled.start()

    @property
    def labels(self) -> PseudoLabels | None:
        """The pseudo-labels; None where no loss needs stored ones."""
        return self.unlabelled.labels

    @property
    def guided(self) -> GuidedLosses:
        """The losses of the guides."""
        return self.unlabelled.guided

    def feed_data(self, data: Mapping[str, Any]) -> None:
        """Take a batch of both streams; a validation batch has no unlabelled one."""
        super().feed_data(data)
        self.real = self.data.get("real")

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """Return l_sup and the losses on unlabelled photos that are on, weighted."""
        self.output, restored = self._restore_both()
        losses = OrderedDict(l_sup=self.pixel_loss())
        keys = self.data["real_key"]
        losses.update(
            self.unlabelled.losses(restored, self.real, keys, current_iter, self._teach, self.data)
        )
        return losses

    def before_step(self, current_iter: int) -> None:
        """Discard the ratings of an update that was dropped."""
        self.unlabelled.discard()

    def after_step(self, current_iter: int) -> None:
        """Store the pseudo-labels of the batches of this update."""
        self.unlabelled.write(current_iter)

    def model_ema(self, decay: float = 0.999) -> None:
        """Update the teacher with a decay of at most 1 - 1 / (updates + 1) as training starts."""
        if self.is_train and self.options.ema_warmup:
            decay = min(decay, 1 - 1 / (self.updates + 1))
        super().model_ema(decay)

    def save(self, epoch: int, current_iter: int) -> None:
        """Save as WxrModel does, then drop pseudo-labels that no remaining checkpoint needs.

        The last save ends the rater.
        """
        super().save(epoch, current_iter)
        is_last = current_iter == -1
        iteration = self.iteration if is_last else current_iter
        self.unlabelled.on_checkpoint(iteration, self.options.keep, is_last)

    def extra_state(self) -> dict[str, Any]:
        """Return where the pseudo-labels are, and the counts of ratings."""
        return self.unlabelled.state()

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the pseudo-labels of the checkpoint."""
        self.unlabelled.resume(state, self.iteration)

    def log_figures(self) -> dict[str, float]:
        """Return WxrModel's figures, the mean rating, counts of the gate and seconds of rating."""
        return super().log_figures() | self.unlabelled.log()

    def _restore_both(self) -> tuple[Tensor, Tensor]:
        """Return the student's restorations of both streams."""
        if self.real is None:
            kind = self.opt["datasets"]["train"].get("type")
            raise OptionError(
                f"datasets.train ({kind}) yields no unlabelled photos (`real`, `real_key`): use "
                "SemiSupervisedDataset"
            )
        unwrapped = partial(self.predict, net=self.get_bare_model(self.net_g))
        return restored_together(self.predict, self.lq, self.unlabelled.view(self.real), unwrapped)

    @torch.no_grad()
    def _teach(self, photos: Tensor) -> Tensor:
        return self.predict(photos, self.net_g_ema).clamp(0, 1)

    def _warn_of_missing_texts(self) -> None:
        roots = (self.opt["datasets"].get("train", {}).get("real") or {}).get("dataroot")
        if not (self.guided.cri_sem and roots):
            return
        photos = RealPhotos(roots).keys()
        # without photos at all, the dataset says so itself
        missing = self.guided.without_texts(photos) if photos else []
        if missing:
            get_root_logger().warning(
                f"L_sem leaves {len(missing)} of {len(photos)} real photos out, which have no "
                f"texts (the first is {missing[0]}): `wxr label describe` and `wxr label rewrite` "
                "make them"
            )

    def _warn_of_dependent_judges(self) -> None:
        """Warn of metrics whose rater is that of the training."""
        if self.labels is None:
            return
        for metrics in validation_metrics(self.opt).values():
            for name, block in metrics.items():
                is_judge = block.get("type") == "calculate_vlm_vis"
                if is_judge and same_answers("rater", block.get("rater"), self.options.rater):
                    get_root_logger().warning(
                        f"The metric {name} judges with the rater of this training (train.rater), "
                        "to which the network is trained, so it is not an independent judge: give "
                        "it another rater"
                    )

    def _check_options(self) -> None:
        super()._check_options()
        if self.opt["train"].get("perceptual_opt"):
            raise OptionError("train.perceptual_opt is not part of WResVLMModel's loss: remove it")
