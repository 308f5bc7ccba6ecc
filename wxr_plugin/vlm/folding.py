"""Batch normalisation folded into the convolutions before it, for inference on a CPU."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(model: nn.Module) -> int:
    """Fold the normalisations of timm's EfficientNet trunks into their convolutions, in place.

    `model` has to be in evaluation mode. A normalisation reads and writes each map once more than
    the convolution does; folded, it costs nothing. The result agrees to rounding. Other networks
    stay as they are.

    Returns:
        Number of folded normalisations.
    """
    trunks = [module for module in model.modules() if hasattr(module, "conv_stem")]
    blocks = [module for trunk in trunks for module in trunk.modules()]
    return sum(_fold_children(block) for block in blocks)


def _fold_children(block: nn.Module) -> int:
    """Fold each normalisation that follows a convolution among the children of `block`.

    The children of timm's blocks stand in the order in which they run; identities are left out.
    """
    children = [
        (name, child)
        for name, child in block.named_children()
        if not isinstance(child, nn.Identity)
    ]
    count = 0
    for (conv_name, conv), (norm_name, norm) in pairwise(children):
        if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            continue
        setattr(block, conv_name, fuse_conv_bn_eval(conv, norm))
        # timm's BatchNormAct2d ends with its activation.
        setattr(block, norm_name, getattr(norm, "act", nn.Identity()))
        count += 1
    return count
