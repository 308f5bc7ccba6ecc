"""InstructIR (Conde et al., Image Restoration Following Human Instructions, ECCV 2024).

NAFNet whose encoder and decoder levels end with a block that an instruction gates. State-dict names
are those of the authors' code, so that their weights load (MIT).

The network takes an instruction as 256 numbers and never loads a language model. Text is embedded
in two steps: by `TaylorAI/bge-micro-v2`, a small sentence model (384 numbers, mean of the tokens,
normalised), then by `LMHead`, whose weights the authors publish in a file of their own:

    model = SentenceTransformer("TaylorAI/bge-micro-v2")
    sentence = model.encode("remove the rain", normalize_embeddings=True)
    instruction, logits = head(torch.from_numpy(sentence)[None])
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.nafnet_arch import NAFBlock, NAFNet
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

KINDS = ("noise", "blur", "rain", "haze", "low light", "enhancement", "upsampling")
"""Degradations that the published head classifies instructions into, in its order."""
SENTENCE = 384
"""Length of an embedded sentence."""
INSTRUCTION = 256
"""Length of an instruction."""


class LMHead(nn.Module):
    """Head from an embedded sentence to the instruction that the network takes."""

    def __init__(
        self,
        sentence: int = SENTENCE,
        instruction: int = INSTRUCTION,
        kinds: int = len(KINDS),
    ):
        super().__init__()
        self.fc1 = nn.Linear(sentence, instruction)
        self.fc2 = nn.Linear(instruction, kinds)

    def forward(self, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised instructions (N, 256) and logits (N, 7) of `KINDS`.

        `sentence` (N, 384) has rows of unit length.
        """
        instruction = F.normalize(self.fc1(sentence), dim=1)
        return instruction, self.fc2(instruction)


class InstructedBlock(nn.Module):
    """The paper's ICB: x + block((gamma x + beta) * gate), with a gate in (0, 1) per channel."""

    def __init__(self, channels: int, instruction: int):
        super().__init__()
        self.fc = nn.Linear(instruction, channels)
        self.block = NAFBlock(channels, nn.AdaptiveAvgPool2d(1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor, instruction: Tensor) -> Tensor:
        # (N, instruction) -> (N, C, 1, 1)
        gate = self.fc(instruction).sigmoid()[..., None, None]
        gated = (x * self.gamma + self.beta) * gate
        return x + self.block(gated)


@register_arch
class InstructIR(NAFNet):
    """InstructIR: one network for the degradations of `KINDS`; an instruction selects one.

    Args:
        width: channels at full size; doubles with each level.
        enc_blk_nums, middle_blk_num, dec_blk_nums: blocks of each encoder level, of the middle, of
            each decoder level.
        txtdim: length of an instruction.
        instruction: instruction of `forward` for all images, `txtdim` numbers, for example from
            `LMHead`. Default: the zero vector, with every gate at the sigmoid of its bias (our
            choice; the authors always give an instruction).
    """

    smoke = {
        "width": 4,
        "enc_blk_nums": [1, 1],
        "middle_blk_num": 1,
        "dec_blk_nums": [1, 1],
        "txtdim": 6,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        width: int = 32,
        enc_blk_nums: Sequence[int] = (2, 2, 4, 8),
        middle_blk_num: int = 4,
        dec_blk_nums: Sequence[int] = (2, 2, 2, 2),
        txtdim: int = INSTRUCTION,
        instruction: Sequence[float] | None = None,
    ):
        super().__init__(width, enc_blk_nums, middle_blk_num, dec_blk_nums)
        widths = [width << level for level in range(self.levels)]
        self.enc_cond = nn.ModuleList(InstructedBlock(channels, txtdim) for channels in widths)
        self.dec_cond = nn.ModuleList(
            InstructedBlock(channels, txtdim) for channels in reversed(widths)
        )
        if instruction is None:
            values = torch.zeros(txtdim)
        else:
            values = torch.tensor(list(instruction), dtype=torch.float32)
        if values.shape != (txtdim,):
            raise ValueError(f"InstructIR: an instruction is {txtdim} numbers, not {len(values)}")
        # Not in the state dict, whose keys are those of the authors' file.
        self.register_buffer("instruction", values, persistent=False)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        """
        return self.published(lq, self.instruction.expand(len(lq), -1))

    def published(self, lq: Tensor, instruction: Tensor) -> Tensor:
        """Restore images as in `forward` by a normalised instruction (N, 256) for each.

        Sides that are not a multiple of 2 ** levels are extended by zeros and the result is
        cropped, as published.
        """
        image = extended(lq, 1 << self.levels, mode="constant")
        return cropped(self._instructed(image, instruction), lq)

    def _instructed(self, lq: Tensor, instruction: Tensor) -> Tensor:
        x = self.intro(lq)
        skips = []
        for blocks, instructed, down in zip(self.encoders, self.enc_cond, self.downs):
            x = _through(blocks, x)
            x = instructed(x, instruction)
            skips.append(x)
            x = down(x)
        x = _through(self.middle_blks, x)
        for blocks, instructed, up in zip(self.decoders, self.dec_cond, self.ups):
            x = up(x) + skips.pop()
            x = _through(blocks, x)
            x = instructed(x, instruction)
        return self.ending(x) + lq


def _through(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return x
