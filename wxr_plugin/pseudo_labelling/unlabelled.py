"""What WResVLM makes of photos without ground truth: pseudo-labels and the losses on them, whichever host trains."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from torch import Tensor

from wxr_plugin.errors import OptionError
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.pseudo_labelling.asking import Asker, DirectAsker
from wxr_plugin.pseudo_labelling.guided_losses import GuidedLosses
from wxr_plugin.pseudo_labelling.online import Labels, PseudoLabels
from wxr_plugin.pseudo_labelling.options import WResVLMTrainOptions
from wxr_plugin.pseudo_labelling.process_asker import ProcessAsker
from wxr_plugin.pseudo_labelling.rater_process import RaterProcess
from wxr_plugin.pseudo_labelling.rating_device import crowded, own_gpu, rating_device
from wxr_plugin.pseudo_labelling.rating_proxy import RatingProxy
from wxr_plugin.pseudo_labelling.strong_augment import strong_view
from wxr_plugin.utils.gpus import local_rank
from wxr_plugin.vlm.rater import build_rater

CHECKPOINTS = 3
"""Without `train.keep`: the last so many checkpoints can be resumed with exactly their pseudo-labels."""
BEST = 5.0

Predict = Callable[[Tensor], Tensor]
"""A network on images, both (N, 3, H, W)."""
Teach = Callable[[Tensor], Tensor]
"""The teacher's restorations of photos, both (N, 3, H, W) in [0, 1]."""


def restored_together(
    predict: Predict, lq: Tensor, photos: Tensor, predict_second: Predict | None = None
) -> tuple[Tensor, Tensor]:
    """Restore the images of both streams: in one forward if they have one size, else in two.

    `predict_second` makes the second of two forwards, `predict` when None. Under DDP it is the
    network without its wrapper, whose forward copies rank 0's BatchNorm statistics into the ones
    that the first forward's backward needs.
    """
    if lq.shape[1:] != photos.shape[1:]:
        return predict(lq), (predict_second or predict)(photos)
    return predict(torch.cat((lq, photos))).split((len(lq), len(photos)))


class Unlabelled:
    """L_ps, L_wpl, L_sem and L_feat of a student's restorations, and the pseudo-labels behind them.

    Args:
        options: the `train` block.
        device: where the losses are computed.
        labels: label store of a run whose options name none.
        plugins: modules that a rating process has to import.

    Attributes:
        labels: the pseudo-labels; None where no loss needs any of a store.
        guided: the losses of the guides.
        seconds: what rating has taken since this was last set to 0.
    """

    def __init__(
        self,
        options: WResVLMTrainOptions,
        device: torch.device,
        labels: str | Path,
        plugins: Sequence[str] = (),
    ):
        self.options, self.device, self.plugins = options, device, list(plugins)
        self.path = Path(options.labels or labels)
        self.cri_ps = build_loss(options.pseudo_opt).to(device) if options.pseudo_opt else None
        self.guided = GuidedLosses(options, device, self._texts())
        self.labels = self._open_labels() if options.needs_labels else None
        self.seconds = 0.0

    def view(self, photos: Tensor) -> Tensor:
        """What the student sees of photos (N, 3, H, W) in [0, 1]."""
        return (
            strong_view(photos, self.options.strong_augment)
            if self.options.strong_augment
            else photos
        )

    def losses(
        self, restored: Tensor, photos: Tensor, keys: Sequence[str], iteration: int, teach: Teach
    ) -> dict[str, Tensor]:
        """Weighted losses by name of the student's `restored` (N, 3, H, W) of `photos`, which are called `keys`."""
        labels = self._labels(restored.detach(), photos, keys, iteration, teach)
        losses = (
            {"l_ps": self.cri_ps(restored, labels.images, labels.ratings)} if self.cri_ps else {}
        )
        return losses | self.guided(restored, photos, labels, keys)

    def write(self, iteration: int) -> None:
        """An update counted, so what it learnt about the pseudo-labels counts too.

        Every rank has to call it.
        """
        if self.labels:
            self.labels.write(iteration)

    def discard(self) -> None:
        """Forget what belongs to an update that was dropped."""
        if self.labels:
            self.labels.discard()

    def saved(self, iteration: int, keep: int | None, last: bool = False) -> None:
        """A checkpoint was written; pseudo-labels that no kept one needs are dropped.

        The last one ends the rater.

        Cached features are dropped too, so that a resumed run computes them with the same
        neighbours in a batch, and so to the last bit.
        """
        self.guided.forget()
        if self.labels:
            self.labels.commit(iteration, keep or CHECKPOINTS)
            if last:
                self.labels.close()

    def state(self) -> dict[str, Any]:
        """Where the pseudo-labels are, and what was counted; plain types and tensors."""
        return {"labels": self.options.labels, **(self.labels.state() if self.labels else {})}

    def resume(self, state: dict[str, Any], iteration: int) -> None:
        """Bring the pseudo-labels of the checkpoint of `iteration` back.

        Every rank has to call it.
        """
        if state["labels"] != self.options.labels:
            raise OptionError(
                f"train.labels is {self.options.labels}, but the run to resume has "
                f"{state['labels']}: use that one"
            )
        if self.labels and "ratings" in state:
            self.labels.resume(state, iteration)

    def log(self) -> dict[str, float]:
        """Mean rating of all pseudo-labels, how many of the teacher's images became one, and what it cost."""
        if not self.labels:
            return {}
        ratings = self.labels.ratings.values()
        log = {"rating": sum(ratings) / max(len(ratings), 1), "accepted": self.labels.accepted}
        log |= {"rated": self.labels.rated, "rating_failures": self.labels.failures.count}
        log["rating_time"], self.seconds = self.seconds, 0.0
        return log

    @torch.no_grad()
    def _labels(
        self, student: Tensor, photos: Tensor, keys: Sequence[str], iteration: int, teach: Teach
    ) -> Labels | None:
        """What the student's images of the photos are compared with; None where no loss needs it."""
        if not (self.cri_ps or self.options.feature_opt):
            return None
        if self.labels is None:
            images = teach(photos)
            return Labels(images, images.new_full((len(images),), BEST), None)
        start, rows = time.perf_counter(), self.labels.due(keys, iteration)
        if not rows:
            labels = self.labels.best(keys, photos, iteration)
        else:
            rivals = student[rows].clamp(0, 1) if self.options.gate == "strict" else None
            labels = self.labels.best(keys, photos, iteration, rows, teach(photos[rows]), rivals)
        self.seconds += time.perf_counter() - start
        return labels

    def _open_labels(self) -> PseudoLabels:
        rating = self.options.rating
        proxy, clip = rating.proxy, self.guided.clip
        if proxy and clip is None:
            from wxr_plugin.conditioning.clip import load_clip

            clip = load_clip(proxy.clip or "tiny", self.device)
        head = RatingProxy(clip, proxy.threshold, proxy.explore) if proxy else None
        labels = PseudoLabels(self.path, self._asker(), rating.every, head, rating.margin)
        get_root_logger().info(
            f"Pseudo-labels in {labels.store.path}, rated by {labels.asker.provenance}."
        )
        return labels

    def _asker(self) -> Asker:
        aside = self.options.rating.async_
        if aside is None:
            return DirectAsker(build_rater(self.options.rater))
        device = rating_device(aside.device, local_rank())
        rater = {**self.options.rater, **({"device": device} if device else {})}
        if warning := crowded(aside.device or rater.get("device")):
            get_root_logger().warning(warning)
        start = partial(
            RaterProcess, rater, self.plugins, own_gpu(rater.get("device"), self.device)
        )
        return ProcessAsker(start, aside.queue, aside.batch, aside.restarts)

    def _texts(self) -> dict[str, tuple[str, str]]:
        if not self.options.semantic_opt:
            return {}
        with LabelStore(self.path, readonly=True) as store:
            return store.texts()
