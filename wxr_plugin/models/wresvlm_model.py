"""WResVLM: semi-supervised restoration with a vision-language model in the loop (Xu et al., arXiv 2409.02101).

The authors published no training code; docs/wresvlm.md says what is the paper's and what is our choice.
"""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY
from msgspec import Meta
from torch import Tensor

from wxr_plugin.errors import OptionError
from wxr_plugin.models.pseudo_labels import TEACHER, PseudoLabels
from wxr_plugin.models.train_options import WxrTrainOptions
from wxr_plugin.models.wxr_model import WxrModel
from wxr_plugin.schema import AtLeastOne, Loss, Rater
from wxr_plugin.vlm.rater import build_rater

CHECKPOINTS = 3
"""Without `train.keep`: the last so many checkpoints can be resumed with exactly their pseudo-labels."""


class WResVLMTrainOptions(WxrTrainOptions):
    """Keys of the `train` block, beside those of WxrModel."""

    ema_decay: Annotated[float, Meta(gt=0, lt=1)]
    """Decay of the teacher, which is the moving average of the student."""
    pixel_opt: Loss
    """L_sup, say {type: L1Loss}."""
    pseudo_opt: Loss = msgspec.field(default_factory=lambda: {"type": "PseudoLabelLoss", "loss_weight": 0.5})
    """L_ps, a PseudoLabelLoss or one that is called alike (images, labels, ratings); w1 is its loss_weight."""
    weather_prompt_opt: Loss | None = None
    """L_wpl, a WeatherPromptLoss or one with a `guide` whose image features it takes; w2, 0.2 in the paper, is its
    loss_weight. Off when absent."""
    rater: Rater = {}
    """What rates: a vision-language model, a metric of pyiqa or a server (docs/raters.md); the packaged tiny model when
    absent."""
    rate_every: AtLeastOne = 1
    """Let the teacher restore and have its images rated every so many iterations."""
    labels: str | None = None
    """Label store of the pseudo-labels; labels.lmdb in the experiment's folder when absent."""
    ema_warmup: bool = True
    """Bound the teacher's decay by 1 - 1 / (iteration + 1), as Semi-UIR does, so that it follows quickly at first."""


@MODEL_REGISTRY.register()
class WResVLMModel(WxrModel):
    """L = L_sup + w1 L_ps + w2 L_wpl of a student network, with its EMA as the teacher.

    L_sup compares pairs (`lq`, `gt`). Of the unlabelled photos (`real`, named by `real_key`) the teacher makes
    restorations; a vision-language model rates them, and the best-rated image of each photo so far is its pseudo-label.
    L_ps compares the student's restoration with it, L_wpl asks that CLIP finds it clear. Labels change with an update
    of the weights or not at all, and a resumed run has those of its checkpoint.
    """

    TrainOptions = WResVLMTrainOptions

    def init_training_settings(self) -> None:
        """The host's, then losses, rater and label store."""
        super().init_training_settings()
        self.cri_ps = build_loss(self.options.pseudo_opt).to(self.device)
        prompt_opt = self.options.weather_prompt_opt
        self.cri_wpl = build_loss(prompt_opt).to(self.device) if prompt_opt else None
        rater = build_rater(self.options.rater)
        self.labels = PseudoLabels(self._label_path(), rater)
        if not self.opt["path"].get("resume_state"):
            self.labels.start()
        get_root_logger().info(f"Pseudo-labels in {self.labels.store.path}, rated by {rater.provenance}.")

    def feed_data(self, data: Mapping[str, Any]) -> None:
        """Take a batch of both streams; a validation batch has no unlabelled one."""
        super().feed_data(data)
        self.real = self.data.get("real")

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """L_sup, L_ps and L_wpl, weighted."""
        self.output, restored = self._restore_both()
        labels, ratings = self._pseudo_labels(current_iter)
        losses = OrderedDict(l_sup=self.cri_pix(self.output, self.gt))
        losses["l_ps"] = self.cri_ps(restored, labels, ratings)
        if self.cri_wpl:
            losses["l_wpl"] = self.cri_wpl(self.cri_wpl.guide.encode_image(restored))
        return losses  # L_sem shares the CLIP features of L_wpl; L_feat compares `restored` with `labels` and `real`

    def after_step(self, current_iter: int) -> None:
        """The update counted, so what it learnt about the pseudo-labels counts too."""
        self.labels.write(current_iter)

    def model_ema(self, decay: float = 0.999) -> None:
        """The host's, with the decay bounded at the start of training."""
        warm = self.is_train and self.options.ema_warmup
        super().model_ema(min(decay, 1 - 1 / (self.iteration + 1)) if warm else decay)

    def save(self, epoch: int, current_iter: int) -> None:
        """The host's; pseudo-labels that no kept checkpoint needs are dropped after it."""
        super().save(epoch, current_iter)
        if current_iter != -1:
            self.labels.commit(current_iter, self.options.keep or CHECKPOINTS)

    def extra_state(self) -> dict[str, Any]:
        """Where the pseudo-labels are, and what was counted."""
        return {"labels": self.options.labels, **self.labels.state()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Bring the pseudo-labels of the checkpoint back."""
        if state["labels"] != self.options.labels:
            raise OptionError(
                f"train.labels is {self.options.labels}, but the run to resume has {state['labels']}: use that one"
            )
        self.labels.resume(state, self.iteration)

    def get_current_log(self) -> dict[str, float]:
        """With the mean rating of all pseudo-labels, and how many of the teacher's images became one."""
        ratings = self.labels.ratings.values()
        mean = sum(ratings) / max(len(ratings), 1)
        return {**super().get_current_log(), "rating": mean, "accepted": self.labels.accepted}

    def _restore_both(self) -> tuple[Tensor, Tensor]:
        """The student on both streams; in one forward where their sizes allow, which is what DDP expects."""
        if self.real is None:
            kind = self.opt["datasets"]["train"].get("type")
            raise OptionError(
                f"datasets.train ({kind}) yields no unlabelled photos (`real`, `real_key`): use SemiSupervisedDataset"
            )
        if self.lq.shape[1:] != self.real.shape[1:]:
            return self.predict(self.lq), self.predict(self.real)
        return self.predict(torch.cat((self.lq, self.real))).split((len(self.lq), len(self.real)))

    @torch.no_grad()
    def _pseudo_labels(self, current_iter: int) -> tuple[Tensor, Tensor]:
        restored = None
        if current_iter % self.options.rate_every == 0:
            restored = self.predict(self.real, self.net_g_ema).clamp(0, 1)
        return self.labels.best(self.data["real_key"], self.real, restored, f"{TEACHER}{current_iter}")

    def _open_window(self) -> None:
        super()._open_window()
        self.labels.discard()  # of an update that was dropped

    def _label_path(self) -> Path:
        return Path(self.options.labels or Path(self.opt["path"]["experiments_root"]) / "labels.lmdb")

    def _check_options(self) -> None:
        super()._check_options()
        if self.opt["train"].get("perceptual_opt"):
            raise OptionError("train.perceptual_opt is not part of WResVLMModel's loss: remove it")
