"""The network of the packaged tiny depth encoder: Depth Anything's own classes, small."""

from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

SIDE = 126
PATCH = 14
WIDTH = 96
LAYERS = 4


def build() -> DepthAnythingForDepthEstimation:
    """A DINOv2 backbone of 4 layers, 96 wide, on 9 x 9 patches of 14 pixels, and Depth Anything's neck and head."""
    backbone = Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=3,
        image_size=SIDE,
        patch_size=PATCH,
        out_features=[f"stage{number}" for number in range(1, LAYERS + 1)],
        reshape_hidden_states=False,
        layerscale_value=0.1,
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
