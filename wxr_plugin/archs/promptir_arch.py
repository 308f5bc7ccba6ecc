"""PromptIR (Potlapalli et al., Prompting for All-in-One Blind Image Restoration, NeurIPS 2023).

Restormer's encoder and decoder; before each decoder level the features are concatenated with a
mixture of learnt prompts whose weights come from the features. State-dict names are those of the
authors' code, so that their weights load. The weights are under the Academic Public License: for
non-commercial use, passed on under the same licence only.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.transposed import TransformerBlock
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 8


class PromptGenBlock(nn.Module):
    """Weighted sum of learnt prompts, resized to the features that determine the weights."""

    def __init__(
        self,
        channels: int,
        prompts: int,
        size: int,
        features: int,
    ):
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, prompts, channels, size, size))
        self.linear_layer = nn.Linear(features, prompts)
        self.conv3x3 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.linear_layer(x.mean((2, 3))).softmax(1)  # (N, prompts)
        prompt = torch.einsum("np,pchw->nchw", weights, self.prompt_param[0])
        resized = F.interpolate(prompt, x.shape[-2:], mode="bilinear", align_corners=False)
        return self.conv3x3(resized)


class Resampled(nn.Module):
    """3x3 convolution and pixel (un)shuffle: half the channels upwards, twice as many downwards."""

    def __init__(self, channels: int, upwards: bool):
        super().__init__()
        width, shuffle = (
            (2 * channels, nn.PixelShuffle(2)) if upwards else (channels // 2, nn.PixelUnshuffle(2))
        )
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            shuffle,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@register_arch
class PromptIR(nn.Module):
    """PromptIR: one network for several degradations, which it infers from the image.

    The authors' code has six layers that are not used (`unused`); they exist for the weights and
    are frozen.

    Args:
        dim: channels at full size; doubles with each of the four levels.
        num_blocks: blocks of each level, full size first.
        num_refinement_blocks: blocks after the decoder, at full size.
        heads: attention heads of each level.
        ffn_expansion_factor: hidden channels of the feed-forwards, in multiples of their channels.
        prompt_dims: channels of the prompts at the decoder's three levels, full size first.
        prompt_sizes: height and width of the stored prompts.
        num_prompts: number of prompts in a mixture.
    """

    smoke = {
        "dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 1, 2, 2],
        "prompt_dims": [4, 4, 10], "prompt_sizes": [8, 4, 2],
    }  # fmt: skip
    """Constructor arguments of a small instance for the tests of all networks."""
    unused = ("chnl_reduce", "reduce_noise_channel_")
    """Name prefixes of parameters that do not affect the result."""

    def __init__(
        self,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        prompt_dims: Sequence[int] = (64, 128, 320),
        prompt_sizes: Sequence[int] = (64, 32, 16),
        num_prompts: int = 5,
    ):
        super().__init__()
        self.expansion = ffn_expansion_factor
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self._add_encoder(dim, num_blocks, heads)
        self._add_prompts(dim, prompt_dims, prompt_sizes, num_prompts, heads[2])
        self._add_decoder(dim, num_blocks, heads)
        self.refinement = self._blocks(2 * dim, num_refinement_blocks, heads[0])
        self.output = nn.Conv2d(2 * dim, 3, 3, padding=1, bias=False)
        self._add_unused(dim, prompt_dims)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sizes that are not
        a multiple of 8 are extended by reflection (repetition below 8) and cropped, as in the
        authors' demo. Their test of benchmarks crops images to multiples of 16 instead.
        """
        restored = self._restore(extended(lq, STRIDE))
        return cropped(restored, lq)

    def _restore(self, lq: Tensor) -> Tensor:
        full = self.encoder_level1(self.patch_embed.proj(lq))
        half = self.encoder_level2(self.down1_2(full))
        quarter = self.encoder_level3(self.down2_3(half))
        x = self.latent(self.down3_4(quarter))
        x = self._prompted(3, x)
        x = torch.cat((self.up4_3(x), quarter), 1)
        x = self.decoder_level3(self.reduce_chan_level3(x))
        x = self._prompted(2, x)
        x = torch.cat((self.up3_2(x), half), 1)
        x = self.decoder_level2(self.reduce_chan_level2(x))
        x = self._prompted(1, x)
        # At full size the joined 2 dim channels are not reduced.
        x = torch.cat((self.up2_1(x), full), 1)
        x = self.decoder_level1(x)
        return self.output(self.refinement(x)) + lq

    def _prompted(self, level: int, x: Tensor) -> Tensor:
        prompt = getattr(self, f"prompt{level}")(x)
        x = torch.cat((x, prompt), 1)
        x = getattr(self, f"noise_level{level}")(x)
        return getattr(self, f"reduce_noise_level{level}")(x)

    def _blocks(self, channels: int, count: int, heads: int) -> nn.Sequential:
        return nn.Sequential(
            *(TransformerBlock(channels, heads, self.expansion) for _ in range(count))
        )

    def _add_encoder(self, dim: int, counts: Sequence[int], heads: Sequence[int]) -> None:
        for level in range(4):
            name = f"encoder_level{level + 1}" if level < 3 else "latent"
            setattr(self, name, self._blocks(dim << level, counts[level], heads[level]))
        for level in range(3):
            down = Resampled(dim << level, upwards=False)
            self.add_module(f"down{level + 1}_{level + 2}", down)

    def _add_prompts(
        self,
        dim: int,
        dims: Sequence[int],
        sizes: Sequence[int],
        count: int,
        heads: int,
    ) -> None:
        # Channels after the prompt; the deepest features keep half of theirs.
        outputs = (2 * dim, 4 * dim, 4 * dim)
        for level in range(3):
            features = 2 * dim << level
            joined = (2 * dim << level) + dims[level]
            name = str(level + 1)
            prompt = PromptGenBlock(dims[level], count, sizes[level], features)
            self.add_module(f"prompt{name}", prompt)
            block = TransformerBlock(joined, heads, self.expansion)
            self.add_module(f"noise_level{name}", block)
            self.add_module(f"reduce_noise_level{name}", _mixed(joined, outputs[level]))

    def _add_decoder(self, dim: int, counts: Sequence[int], heads: Sequence[int]) -> None:
        self.up4_3 = Resampled(4 * dim, upwards=True)
        self.up3_2 = Resampled(4 * dim, upwards=True)
        self.up2_1 = Resampled(2 * dim, upwards=True)
        self.reduce_chan_level3 = _mixed(6 * dim, 4 * dim)
        self.reduce_chan_level2 = _mixed(4 * dim, 2 * dim)
        self.decoder_level3 = self._blocks(4 * dim, counts[2], heads[2])
        self.decoder_level2 = self._blocks(2 * dim, counts[1], heads[1])
        self.decoder_level1 = self._blocks(2 * dim, counts[0], heads[0])

    def _add_unused(self, dim: int, prompt_dims: Sequence[int]) -> None:
        # Published: 320 channels of the coarsest prompt become 256.
        widths = (prompt_dims[0], prompt_dims[1], prompt_dims[2] * 4 // 5)
        for level, (prompt, width) in enumerate(zip(prompt_dims, widths)):
            setattr(self, f"chnl_reduce{level + 1}", _mixed(prompt, width).requires_grad_(False))
            channels = dim << level
            reduce = _mixed(channels + width, channels).requires_grad_(False)
            setattr(self, f"reduce_noise_channel_{level + 1}", reduce)


def _mixed(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)
