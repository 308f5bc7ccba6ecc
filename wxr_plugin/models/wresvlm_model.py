"""WResVLM: semi-supervised restoration with a vision-language model in the loop (Xu et al., arXiv 2409.02101).

The authors published no training code; docs/wresvlm.md says what is the paper's and what is our choice.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor

from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.errors import OptionError
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.models.asking import Asker, DirectAsker
from wxr_plugin.models.guided_losses import GuidedLosses
from wxr_plugin.models.process_asker import ProcessAsker
from wxr_plugin.models.pseudo_labels import Labels, PseudoLabels
from wxr_plugin.models.rater_process import RaterProcess
from wxr_plugin.models.rating_proxy import RatingProxy
from wxr_plugin.models.strong_augment import strong_view
from wxr_plugin.models.val_metrics import validation_metrics
from wxr_plugin.models.wresvlm_options import WResVLMTrainOptions
from wxr_plugin.models.wxr_model import WxrModel
from wxr_plugin.vlm.rater import build_rater
from wxr_plugin.vlm.registries import same_answers

CHECKPOINTS = 3
"""Without `train.keep`: the last so many checkpoints can be resumed with exactly their pseudo-labels."""
BEST = 5.0


@MODEL_REGISTRY.register()
class WResVLMModel(WxrModel):
    """L = L_sup + w1 L_ps + w2 L_wpl + w3 L_sem + w4 L_feat of a student network, with its EMA as the teacher.

    L_sup compares pairs (`lq`, `gt`). Of the unlabelled photos (`real`, named by `real_key`) the teacher makes
    restorations; a vision-language model rates them, and the best-rated image of each photo so far is its pseudo-label.
    L_ps compares the student's restoration with it; L_wpl asks that CLIP finds it clear, L_sem that it fits the photo's
    description rewritten for clear weather, L_feat that its structure stays. Labels change with an update of the
    weights or not at all, and a resumed run has those of its checkpoint.
    """

    TrainOptions = WResVLMTrainOptions

    def init_training_settings(self) -> None:
        """The host's, then losses, rater and label store."""
        super().init_training_settings()
        self.cri_ps = build_loss(self.options.pseudo_opt).to(self.device) if self.options.pseudo_opt else None
        self.guided = GuidedLosses(self.options, self.device, self._texts())
        self.labels = self._open_labels() if self.options.needs_labels else None
        self.rating_seconds = 0.0
        self._tell_missing_texts()
        self._tell_judges()
        if self.labels and not self.opt["path"].get("resume_state"):
            self.labels.start()

    def feed_data(self, data: Mapping[str, Any]) -> None:
        """Take a batch of both streams; a validation batch has no unlabelled one."""
        super().feed_data(data)
        self.real = self.data.get("real")

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """L_sup and whatever else is on, weighted."""
        self.output, restored = self._restore_both()
        labels = self._labels(current_iter, restored.detach())
        losses = OrderedDict(l_sup=self.cri_pix(self.output, self.gt))
        if self.cri_ps:
            losses["l_ps"] = self.cri_ps(restored, labels.images, labels.ratings)
        losses.update(self.guided(restored, self.real, labels, self.data["real_key"]))
        return losses

    def after_step(self, current_iter: int) -> None:
        """The update counted, so what it learnt about the pseudo-labels counts too."""
        if self.labels:
            self.labels.write(current_iter)

    def model_ema(self, decay: float = 0.999) -> None:
        """The host's, with the decay bounded at the start of training."""
        warm = self.is_train and self.options.ema_warmup
        super().model_ema(min(decay, 1 - 1 / (self.iteration + 1)) if warm else decay)

    def save(self, epoch: int, current_iter: int) -> None:
        """The host's; pseudo-labels that no kept checkpoint needs are dropped after it. The last save ends the rater.

        Cached features are dropped too, so that a resumed run computes them with the same neighbours in a batch, and so
        to the last bit.
        """
        super().save(epoch, current_iter)
        self.guided.forget()
        if self.labels:
            self.labels.commit(self.iteration if current_iter == -1 else current_iter, self.options.keep or CHECKPOINTS)
            if current_iter == -1:
                self.labels.close()

    def extra_state(self) -> dict[str, Any]:
        """Where the pseudo-labels are, and what was counted."""
        return {"labels": self.options.labels, **(self.labels.state() if self.labels else {})}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Bring the pseudo-labels of the checkpoint back."""
        if state["labels"] != self.options.labels:
            raise OptionError(
                f"train.labels is {self.options.labels}, but the run to resume has {state['labels']}: use that one"
            )
        if self.labels and "ratings" in state:
            self.labels.resume(state, self.iteration)

    def get_current_log(self) -> dict[str, float]:
        """With the mean rating of all pseudo-labels, how many of the teacher's images became one, and what it cost."""
        log = super().get_current_log()
        if self.labels:
            ratings = self.labels.ratings.values()
            log |= {"rating": sum(ratings) / max(len(ratings), 1), "accepted": self.labels.accepted}
            log |= {"rated": self.labels.rated, "rating_failures": self.labels.failures.count}
            log["rating_time"], self.rating_seconds = self.rating_seconds, 0.0
        return log

    def _restore_both(self) -> tuple[Tensor, Tensor]:
        """The student on both streams; in one forward where their sizes allow, which is what DDP expects."""
        if self.real is None:
            kind = self.opt["datasets"]["train"].get("type")
            raise OptionError(
                f"datasets.train ({kind}) yields no unlabelled photos (`real`, `real_key`): use SemiSupervisedDataset"
            )
        strong = self.options.strong_augment
        real = strong_view(self.real, strong) if strong else self.real
        if self.lq.shape[1:] != real.shape[1:]:
            return self.predict(self.lq), self.predict(real)
        return self.predict(torch.cat((self.lq, real))).split((len(self.lq), len(real)))

    @torch.no_grad()
    def _labels(self, current_iter: int, student: Tensor) -> Labels | None:
        """What the student's images of the real photos are compared with; None where no loss needs it."""
        if not (self.cri_ps or self.options.feature_opt):
            return None
        if self.labels is None:
            images = self._teach(self.real)
            return Labels(images, images.new_full((len(images),), BEST), None)
        start, keys = time.perf_counter(), self.data["real_key"]
        rows = self.labels.due(keys, current_iter)
        if not rows:
            labels = self.labels.best(keys, self.real, current_iter)
        else:
            rivals = student[rows].clamp(0, 1) if self.options.gate == "strict" else None
            labels = self.labels.best(keys, self.real, current_iter, rows, self._teach(self.real[rows]), rivals)
        self.rating_seconds += time.perf_counter() - start
        return labels

    def _teach(self, photos: Tensor) -> Tensor:
        return self.predict(photos, self.net_g_ema).clamp(0, 1)

    def _open_window(self) -> None:
        super()._open_window()
        if self.labels:
            self.labels.discard()  # of an update that was dropped

    def _open_labels(self) -> PseudoLabels:
        rating = self.options.rating
        proxy, clip = rating.proxy, self.guided.clip
        if proxy and clip is None:
            from wxr_plugin.conditioning.clip import load_clip

            clip = load_clip(proxy.clip or "tiny", self.device)
        head = RatingProxy(clip, proxy.threshold, proxy.explore) if proxy else None
        labels = PseudoLabels(self._label_path(), self._asker(), rating.every, head, rating.margin)
        get_root_logger().info(f"Pseudo-labels in {labels.store.path}, rated by {labels.asker.provenance}.")
        return labels

    def _asker(self) -> Asker:
        aside = self.options.rating.async_
        if aside is None:
            return DirectAsker(build_rater(self.options.rater))
        rater = {**self.options.rater, **({"device": aside.device} if aside.device else {})}
        start = partial(RaterProcess, rater, self.opt.get("plugins") or [])
        return ProcessAsker(start, aside.queue, aside.batch, aside.restarts)

    def _texts(self) -> dict[str, tuple[str, str]]:
        if not self.options.semantic_opt:
            return {}
        with LabelStore(self._label_path(), readonly=True) as store:
            return store.texts()

    def _tell_missing_texts(self) -> None:
        roots = (self.opt["datasets"].get("train", {}).get("real") or {}).get("dataroot")
        photos = RealPhotos(roots).keys() if self.guided.cri_sem and roots else []
        if missing := self.guided.without_texts(photos) if photos else []:
            get_root_logger().warning(
                f"L_sem leaves {len(missing)} of {len(photos)} real photos out, which have no texts (the first is "
                f"{missing[0]}): `wxr label describe` and `wxr label rewrite` make them"
            )

    def _tell_judges(self) -> None:
        blocks = [item for metrics in validation_metrics(self.opt).values() for item in metrics.items()]
        for name, block in blocks:
            judge = block.get("type") == "calculate_vlm_vis" and self.labels is not None
            if judge and same_answers("rater", block.get("rater"), self.options.rater):
                get_root_logger().warning(
                    f"The metric {name} judges with the rater of this training (train.rater), to which the network is "
                    "trained, so it is no independent judge: give it a rater of its own"
                )

    def _label_path(self) -> Path:
        return Path(self.options.labels or Path(self.opt["path"]["experiments_root"]) / "labels.lmdb")

    def _check_options(self) -> None:
        super()._check_options()
        if self.opt["train"].get("perceptual_opt"):
            raise OptionError("train.perceptual_opt is not part of WResVLMModel's loss: remove it")
