"""WResVLM's losses on photos without ground truth and their pseudo-labels, for any trainer."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info
from torch import Tensor

from wxr_plugin.errors import OptionError
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.pseudo_labelling import gate_counts, gate_examples
from wxr_plugin.pseudo_labelling.async_rating_client import AsyncRatingClient
from wxr_plugin.pseudo_labelling.guided_losses import GuidedLosses
from wxr_plugin.pseudo_labelling.online import Labels, PseudoLabels
from wxr_plugin.pseudo_labelling.options import WResVLMTrainOptions
from wxr_plugin.pseudo_labelling.rater_process import RaterProcess
from wxr_plugin.pseudo_labelling.rating_client import RatingClient, SyncRatingClient
from wxr_plugin.pseudo_labelling.rating_device import crowded, own_gpu, rating_device
from wxr_plugin.pseudo_labelling.rating_proxy import RatingProxy
from wxr_plugin.pseudo_labelling.rating_view import (
    Surroundings,
    ViewSettings,
    batch_surroundings,
)
from wxr_plugin.pseudo_labelling.strong_augment import strong_view
from wxr_plugin.utils.gpus import local_rank
from wxr_plugin.vlm.rater import build_rater

CHECKPOINTS = 3
"""Number of checkpoints that can be resumed with exactly their pseudo-labels, by default."""
BEST = 5.0
"""The highest rating, which counts for images that nobody rates."""

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
    # One larger batch is faster than two, and BatchNorm sees both streams.
    if lq.shape[1:] != photos.shape[1:]:
        return predict(lq), (predict_second or predict)(photos)
    return predict(torch.cat((lq, photos))).split((len(lq), len(photos)))


class Unlabelled:
    """L_ps, L_wpl, L_sem and L_feat of a student's restorations, and their pseudo-labels.

    Args:
        options: the `train` block.
        device: where the losses are computed.
        folder: the experiment's folder. It gets the counts of the gate (`gate_counts`) and, if the
            options name no label store, the store labels.lmdb.
        plugins: modules that a rating process has to import.

    Attributes:
        labels: the pseudo-labels; None if no loss needs stored ones.
        guided: the losses of the guides.
        seconds: time that rating has taken since this was last set to 0.
    """

    def __init__(
        self,
        options: WResVLMTrainOptions,
        device: torch.device,
        folder: Path,
        plugins: Sequence[str] = (),
    ):
        self.options = options
        self.device = device
        self.folder = folder
        self.plugins = list(plugins)
        self.path = Path(options.labels or folder / "labels.lmdb")
        self.cri_ps = build_loss(options.pseudo_opt).to(device) if options.pseudo_opt else None
        self.guided = GuidedLosses(options, device, self._texts())
        self.labels = self._open_labels() if options.needs_labels else None
        self.seconds = 0.0

    def start(self) -> None:
        """Begin a new run from the labels in the store. Every rank has to call it."""
        if self.labels:
            self.labels.start()
            if _is_first_rank():
                gate_counts.clear(self.folder)
                gate_examples.clear(self.folder)

    def view(self, photos: Tensor) -> Tensor:
        """Return the student's view of photos (N, 3, H, W) in [0, 1]."""
        changes = self.options.strong_augment
        return strong_view(photos, changes) if changes else photos

    def losses(
        self,
        restored: Tensor,
        photos: Tensor,
        keys: Sequence[str],
        iteration: int,
        teach: Teach,
        batch: Mapping[str, Any] | None = None,
    ) -> dict[str, Tensor]:
        """Return the weighted losses of the student's images, keyed by name.

        `restored` (N, 3, H, W) are its images of `photos`, which are named `keys`. `batch` has the
        surroundings of the photos where `rating.context` needs them.
        """
        around = self._surroundings(batch or {}, keys, photos)
        labels = self._labels(restored.detach(), photos, keys, iteration, teach, around)
        losses = {}
        if self.cri_ps:
            losses["l_ps"] = self.cri_ps(restored, labels.images, labels.ratings)
        return losses | self.guided(restored, photos, labels, keys)

    def write(self, iteration: int) -> None:
        """Store the pseudo-labels of an update that counted. Every rank has to call it."""
        if self.labels:
            self.labels.write(iteration)

    def discard(self) -> None:
        """Drop the pseudo-labels of an update that was dropped."""
        if self.labels:
            self.labels.discard()

    def on_checkpoint(self, iteration: int, keep: int | None, last: bool = False) -> None:
        """Drop pseudo-labels that no kept checkpoint needs, and record the counts of the gate.

        The last call releases the rater. Cached features are dropped too, so that a resumed run
        computes them with the same neighbours in a batch, and so to the last bit.
        """
        self.guided.forget()
        if self.labels:
            self.labels.commit(iteration, keep or CHECKPOINTS)
            self._record_counts(iteration)
            if _is_first_rank():
                self.labels.examples.write(self.folder)
            if last:
                self.labels.close()

    def state(self) -> dict[str, Any]:
        """Return the place of the pseudo-labels and all counts, as plain types and tensors."""
        return {"labels": self.options.labels, **(self.labels.state() if self.labels else {})}

    def resume(self, state: dict[str, Any], iteration: int) -> None:
        """Restore the pseudo-labels of the checkpoint of `iteration`. Every rank has to call it."""
        if state["labels"] != self.options.labels:
            raise OptionError(
                f"train.labels is {self.options.labels}, but the run to resume has "
                f"{state['labels']}: use that one"
            )
        if self.labels and "ratings" in state:
            self.labels.resume(state, iteration)
            if _is_first_rank():
                self.labels.examples.resume(self.folder, iteration)
            self._record_counts(iteration)  # drops those of iterations that were lost

    def log(self) -> dict[str, float]:
        """Return the mean rating of all pseudo-labels, the counts of the gate and rating's time."""
        if not self.labels:
            return {}
        ratings = self.labels.ratings.values()
        log = {
            "rating": sum(ratings) / max(len(ratings), 1),
            "accepted": self.labels.accepted,
            "rated": self.labels.rated,
            "compared": self.labels.compared,
            "rating_failures": self.labels.failures.count,
            "rating_time": self.seconds,
        }
        self.seconds = 0.0
        return log

    @torch.no_grad()
    def _labels(
        self,
        student: Tensor,
        photos: Tensor,
        keys: Sequence[str],
        iteration: int,
        teach: Teach,
        around: list[Surroundings] | None,
    ) -> Labels | None:
        """Return the labels that the student's images are compared with; None if no loss does."""
        if not (self.cri_ps or self.options.feature_opt):
            return None
        if self.labels is None:  # gate: teacher
            images = teach(photos)
            return Labels(images, images.new_full((len(images),), BEST), None)
        start = time.perf_counter()
        rows = self.labels.due(keys, iteration)
        if rows:
            rivals = student[rows].clamp(0, 1) if self.options.gate == "strict" else None
            restored = teach(photos[rows])
            labels = self.labels.best(keys, photos, iteration, rows, restored, rivals, around)
        else:
            labels = self.labels.best(keys, photos, iteration, surroundings=around)
        self.seconds += time.perf_counter() - start
        return labels

    def _surroundings(
        self, batch: Mapping[str, Any], keys: Sequence[str], photos: Tensor
    ) -> list[Surroundings] | None:
        """Return the surroundings of the photos in a batch; None if ratings need none."""
        context = self.options.rating.context
        if not (context and self.labels):
            return None
        return batch_surroundings(batch, keys, photos.shape[-1], context)

    def _record_counts(self, iteration: int) -> None:
        if _is_first_rank():
            gate_counts.record(self.folder, self.labels.counts(iteration))

    def _open_labels(self) -> PseudoLabels:
        rating = self.options.rating
        view = ViewSettings(rating.context, rating.mirrored)
        proxy = self._proxy()
        labels = PseudoLabels(
            self.path,
            self._client(),
            rating.every,
            proxy,
            rating.margin,
            view,
            rating.examples,
        )
        get_root_logger().info(
            f"Pseudo-labels in {labels.store.path}, rated by {labels.client.provenance}."
        )
        return labels

    def _proxy(self) -> RatingProxy | None:
        proxy = self.options.rating.proxy
        clip = self.guided.clip
        if proxy is None:
            return None
        if clip is None:
            from wxr_plugin.conditioning.clip import load_clip

            clip = load_clip(proxy.clip or "tiny", self.device)
        return RatingProxy(clip, proxy.threshold, proxy.explore)

    def _client(self) -> RatingClient:
        process = self.options.rating.async_
        if process is None:
            return SyncRatingClient(build_rater(self.options.rater))
        # The process builds the rater itself, on its own device.
        rater = dict(self.options.rater)
        if device := rating_device(process.device, local_rank()):
            rater["device"] = device
        if warning := crowded(process.device or rater.get("device")):
            get_root_logger().warning(warning)
        gpu = own_gpu(rater.get("device"), self.device)
        start = partial(RaterProcess, rater, self.plugins, gpu)
        return AsyncRatingClient(start, process.queue, process.batch, process.restarts)

    def _texts(self) -> dict[str, tuple[str, str]]:
        if not self.options.semantic_opt:
            return {}
        # Texts may be used without pseudo-labels, so the store is only read here.
        with LabelStore(self.path, readonly=True) as store:
            return store.texts()


def _is_first_rank() -> bool:
    rank, _ = get_dist_info()
    return rank == 0
