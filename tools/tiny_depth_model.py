"""The network of the packaged tiny depth encoder: Depth Anything's own classes, small."""

import torch
from tiny_depth_filters import oriented_filters
from torch import Tensor
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

SIDE = 126
PATCH = 14
WIDTH = 96
LAYERS = 4


def start_filters(model: DepthAnythingForDepthEstimation, pixels: Tensor) -> None:
    """Set the patch filters to a bank whose answers to `pixels` have mean 0 and one deviation.

    They are not trained (our choice): filters that learn from few photos become smooth, and then
    neither noise nor blur reaches the tokens.
    """
    filters = model.backbone.embeddings.patch_embeddings.projection
    with torch.no_grad():
        filters.weight.copy_(oriented_filters(WIDTH, PATCH))
        filters.bias.zero_()
        answers = filters(pixels)
        filters.weight /= answers.std((0, 2, 3))[:, None, None, None]
        filters.bias -= answers.mean((0, 2, 3)) / answers.std((0, 2, 3))
    filters.requires_grad_(False)


def build() -> DepthAnythingForDepthEstimation:
    """Build a DINOv2 backbone and Depth Anything's neck and head.

    The backbone has 4 layers, 96 wide, on 9 x 9 patches of 14 pixels.
    """
    backbone = Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=3,
        image_size=SIDE,
        patch_size=PATCH,
        out_features=[f"stage{number}" for number in range(1, LAYERS + 1)],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=PATCH,
        reassemble_hidden_size=WIDTH,
        neck_hidden_sizes=[16, 16, 24, 32],
        fusion_hidden_size=16,
        head_hidden_size=16,
    )
    return DepthAnythingForDepthEstimation(config)
