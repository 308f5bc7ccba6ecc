"""The contrastive loss of CLIP, and DA-CLIP's two of them (Luo et al., ICLR 2024, arXiv 2310.01018, section 3.2)."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_loss


def info_nce(image: Tensor, text: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Symmetric InfoNCE of N pairs, a scalar (Radford et al., ICML 2021, figure 3).

    `image` and `text` (N, D) have unit length and pair row by row; `logit_scale` (100 at most in
    CLIP) multiplies their cosines. Mean over both directions of the cross-entropy of each row's own
    partner among all N. A text that occurs several times counts as a negative of the others, as in
    the authors' code.
    """
    logits = logit_scale * image @ text.T
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def gather_rows(rows: Tensor) -> Tensor:
    """Rows (N, D) of all ranks, in the order of ranks, as (world size x N, D); N is the same on every rank.

    Gradients flow back to the ranks that the rows came from. Each rank's is the sum over all ranks'
    losses, and DistributedDataParallel takes the mean over ranks, so together they are those of one
    process with the whole batch.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    from torch.distributed import (
        _functional_collectives as collectives,
    )  # where torch's own hint leads

    if hasattr(collectives, "all_gather_single"):
        return collectives.all_gather_single(rows.contiguous(), 0, dist.group.WORLD)
    from torch.distributed.nn.functional import all_gather  # older torch

    return torch.cat(all_gather(rows))


@register_loss
class DaClipLoss(nn.Module):
    """InfoNCE of content embeddings and captions, and of degradation embeddings and words, over all ranks.

    Args:
        content_weight: weight of the first; 1 as published.
        degradation_weight: weight of the second; 1 as published.
        loss_weight: factor on both.
    """

    def __init__(
        self, content_weight: float = 1.0, degradation_weight: float = 1.0, loss_weight: float = 1.0
    ):
        super().__init__()
        self.content_weight = loss_weight * content_weight
        self.degradation_weight = loss_weight * degradation_weight

    def forward(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Both terms, weighted, of what `DaCLIP.forward` gives for this rank's images and texts."""
        names = ("image_features", "text_features", "image_degra_features", "text_degra_features")
        image, caption, degraded, word = (gather_rows(features[name].float()) for name in names)
        scale = features["logit_scale"].float()
        content, degradation = info_nce(image, caption, scale), info_nce(degraded, word, scale)
        return self.content_weight * content, self.degradation_weight * degradation
