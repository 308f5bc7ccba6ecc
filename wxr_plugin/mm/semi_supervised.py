"""WResVLM under MMEngine's Runner: the losses, label store and pseudo-labels of WResVLMModel."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from mmengine.registry import MODELS
from torch import Tensor

from wxr_plugin.errors import OptionError
from wxr_plugin.mm.datasets import plain
from wxr_plugin.mm.supervised import WxrSupervised
from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.pseudo_labelling.options import WResVLMTrainOptions
from wxr_plugin.pseudo_labelling.unlabelled import Unlabelled, restored_together

OPTIONS = (
    set(WResVLMTrainOptions.__struct_fields__)
    - set(WxrTrainOptions.__struct_fields__)
    - {"pixel_opt"}
)
"""Keys of `wresvlm`; the rest of the `train` block has its place in MMEngine's config."""


@MODELS.register_module()
class WxrSemiSupervised(WxrSupervised):
    """L = L_sup + w1 L_ps + w2 L_wpl + w3 L_sem + w4 L_feat of a student; its EMA is the teacher.

    Batches are those of a SemiSupervisedDataset in a WxrDataset. The student is `generator`, the
    teacher, which is validated, `generator_ema`. It needs WxrLabelHook, which opens the label store
    and updates the teacher, and excludes WxrEMAHook.

    Args:
        generator, pixel_loss, pretrained: as in WxrSupervised; the teacher starts from the same
            weights.
        wresvlm: the other losses, rater, gate, labels, ...: keys of the `train` block of
            WResVLMModel (docs/wresvlm.md).

    Raises:
        OptionError: keys in `wresvlm` that are wrong, unknown, or contradict each other.
    """

    def __init__(
        self,
        generator: Mapping[str, Any],
        pixel_loss: Mapping[str, Any],
        wresvlm: Mapping[str, Any],
        pretrained: str | None = None,
        **more: Any,
    ):
        super().__init__(generator, pixel_loss, pretrained=pretrained, **more)
        self.options = read_options(wresvlm, pixel_loss)
        self.generator_ema = copy.deepcopy(self.generator).requires_grad_(False)
        self.unlabelled: Unlabelled | None = None
        self.iteration = 0

    def begin(
        self,
        folder: Path,
        state: dict[str, Any] | None,
        iteration: int,
        plugins: Sequence[str] = (),
    ) -> None:
        """Load guides and rater and open the label store.

        Args:
            folder: of the label store, unless the options set it.
            state: state of the pseudo-labels at `iteration`, from a checkpoint; None for a new run.
            iteration: number of the last iteration of the checkpoint.
            plugins: modules that a separate rating process has to import.
        """
        device = next(self.generator.parameters()).device
        self.unlabelled = Unlabelled(self.options, device, folder, plugins)
        if state:
            self.unlabelled.resume(state, iteration)
        else:
            self.unlabelled.start()

    def train(self, mode: bool = True) -> "WxrSemiSupervised":
        """Set the mode as torch does, except for the teacher, which stays in evaluation mode."""
        super().train(mode)
        self.generator_ema.eval()
        return self

    def restore(self, lq: Tensor) -> Tensor:
        """Return the restoration of the teacher, which is validated."""
        return self.generator_ema(lq)

    def losses(
        self,
        lq: Tensor,
        gt: Tensor,
        real: Tensor | None = None,
        real_key: Sequence[str] = (),
        **more: Any,
    ) -> dict[str, Tensor]:
        """Return L_sup as `loss_pix`, and those of L_ps, L_wpl, L_sem and L_feat that are on.

        Args:
            lq: degraded images of the pairs, (N, 3, H, W) in [0, 1].
            gt: their ground truth.
            real: unlabelled photos, (M, 3, H', W') in [0, 1].
            real_key: their names in the label store.
            more: the rest of the batch, with real_context and real_context_key where
                `rating.context` needs them.
        """
        if real is None:
            raise OptionError(
                "train_dataloader yields no unlabelled photos: use SemiSupervisedDataset in its "
                "WxrDataset"
            )
        if self.unlabelled is None:
            raise OptionError("WxrSemiSupervised needs custom_hooks = [dict(type='WxrLabelHook')]")
        output, restored = restored_together(self._student, lq, self.unlabelled.view(real))
        with torch.autocast(lq.device.type, enabled=False):
            losses = self.unlabelled.losses(
                restored, real, real_key, self.iteration, self._teach, more
            )
        # MMEngine sums up the entries whose name contains `loss`
        named = {f"loss_{name.removeprefix('l_')}": loss for name, loss in losses.items()}
        return self.paired(output, gt) | named

    @torch.no_grad()
    def average(self, updates: int) -> None:
        """Move the teacher towards the student after update number `updates`; copy the buffers."""
        decay = self.options.ema_decay
        if self.options.ema_warmup:
            # the mean of all students so far, until that forgets faster than ema_decay does
            decay = min(decay, 1 - 1 / (updates + 1))
        for teacher, student in zip(self.generator_ema.parameters(), self.generator.parameters()):
            teacher.mul_(decay).add_(student, alpha=1 - decay)
        for teacher, student in zip(self.generator_ema.buffers(), self.generator.buffers()):
            teacher.copy_(student)

    def _student(self, images: Tensor) -> Tensor:
        return self.generator(images).float()

    @torch.no_grad()
    def _teach(self, photos: Tensor) -> Tensor:
        return self.generator_ema(photos).float().clamp(0, 1)


def read_options(wresvlm: Mapping[str, Any], pixel_loss: Mapping[str, Any]) -> WResVLMTrainOptions:
    """Return `wresvlm` as the options that WResVLMModel reads; raise OptionError if it cannot."""
    # `async` is a keyword, so that the field has another name than the key
    unknown = set(wresvlm) - {field if field != "async_" else "async" for field in OPTIONS}
    if unknown:
        raise OptionError(
            f"wresvlm: {', '.join(sorted(unknown))}: unknown key; known are "
            f"{', '.join(sorted(OPTIONS))}. The rest of a `train` block belongs to the Runner: "
            "optim_wrapper, param_scheduler, train_cfg, WxrNanGuardHook"
        )
    try:
        return WResVLMTrainOptions.read({"pixel_opt": plain(pixel_loss), **plain(wresvlm)})
    except msgspec.ValidationError as error:
        raise OptionError(f"wresvlm: {error}") from error
