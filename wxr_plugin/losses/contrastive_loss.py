"""Contrastive losses of CLIP and DA-CLIP (Luo et al., ICLR 2024, arXiv 2310.01018, section 3.2)."""

from collections.abc import Mapping
from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_loss


def info_nce(image: Tensor, text: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Return the symmetric InfoNCE of N pairs, a scalar (Radford et al., ICML 2021, figure 3).

    `image` and `text` (N, D) have unit length and pair row by row; `logit_scale` (at most 100 in
    CLIP) multiplies their cosines. The loss is the mean over both directions of the cross-entropy
    of each row's own partner among all N. Copies of a text count as negatives of each other, as in
    the authors' code.
    """
    logits = logit_scale * image @ text.T  # (N, N), the pairs on the diagonal
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def gather_rows(rows: Tensor) -> Tensor:
    """Gather rows (N, D) of all ranks as (world size x N, D), in the order of ranks.

    N is the same on every rank. Gradients flow back to the ranks of the rows. The gradient on each
    rank is the sum over the losses of all ranks, and DistributedDataParallel averages over ranks,
    so the result is the gradient of one process with the whole batch.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    # The differentiable collective that torch recommends in the deprecation of the one below.
    from torch.distributed import _functional_collectives as collectives

    if hasattr(collectives, "all_gather_single"):
        return collectives.all_gather_single(
            rows.contiguous(), 0, cast(dist.ProcessGroup, dist.group.WORLD)
        )
    # Older torch.
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows))


@register_loss
class DaClipLoss(nn.Module):
    """InfoNCE of contents and captions, and of degradations and their words, over all ranks.

    Args:
        content_weight: weight of the term of contents; 1 as published.
        degradation_weight: weight of the term of degradations; 1 as published.
        loss_weight: factor on both terms.
    """

    def __init__(
        self, content_weight: float = 1.0, degradation_weight: float = 1.0, loss_weight: float = 1.0
    ):
        super().__init__()
        self.content_weight = loss_weight * content_weight
        self.degradation_weight = loss_weight * degradation_weight

    def forward(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return both weighted terms, scalars, for this rank's output of `DaCLIP.forward`."""
        names = ("image_features", "text_features", "image_degra_features", "text_degra_features")
        image, caption, degraded, word = (gather_rows(features[name].float()) for name in names)
        scale = features["logit_scale"].float()
        content = info_nce(image, caption, scale)
        degradation = info_nce(degraded, word, scale)
        return self.content_weight * content, self.degradation_weight * degradation
