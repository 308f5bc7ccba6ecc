"""InstructIR (Conde et al., High-Quality Image Restoration Following Human Instructions, ECCV 2024).

NAFNet whose encoder and decoder levels end with a block that an instruction gates. State-dict names
are those of the authors' code, so that their weights load (MIT).

The network takes an instruction as 256 numbers and never loads a language model. From words they
come in two steps: `TaylorAI/bge-micro-v2`, a small sentence model (384 numbers, mean of the tokens,
of length 1), then `LMHead`, whose weights the authors publish in a file of their own:

    sentence = SentenceTransformer("TaylorAI/bge-micro-v2").encode("remove the rain",
    normalize_embeddings=True) instruction, kinds = head(torch.from_numpy(sentence)[None])
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.nafnet_arch import NAFBlock, NAFNet
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

KINDS = ("noise", "blur", "rain", "haze", "low light", "enhancement", "upsampling")
"""What the published head tells instructions apart by, in its order."""
SENTENCE = 384
INSTRUCTION = 256


class LMHead(nn.Module):
    """From an embedded sentence to the instruction that the network takes."""

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
        """(N, 384), of length 1, to instructions (N, 256), of length 1, and logits (N, 7) of `KINDS`."""
        instruction = F.normalize(self.fc1(sentence), dim=1)
        return instruction, self.fc2(instruction)


class InstructedBlock(nn.Module):
    """The paper's ICB: features scaled, shifted and gated channel by channel, through a NAFNet block, and added."""

    def __init__(self, channels: int, instruction: int):
        super().__init__()
        self.fc = nn.Linear(instruction, channels)
        self.block = NAFBlock(channels, nn.AdaptiveAvgPool2d(1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor, instruction: Tensor) -> Tensor:
        gate = self.fc(instruction).sigmoid()[..., None, None]
        return x + self.block((x * self.gamma + self.beta) * gate)


@register_arch
class InstructIR(NAFNet):
    """InstructIR: one network for the degradations of `KINDS`, told by an instruction which to mend.

    Args:
        width: channels at full size; doubles with each level.
        enc_blk_nums, middle_blk_num, dec_blk_nums: blocks of each encoder level, of the middle, of
            each decoder level.
        txtdim: length of an instruction.
        instruction: what `forward` is told of all images, `txtdim` numbers, say of `LMHead`.
            Without, the zero vector: no instruction, every gate as its bias has it (our choice; the
                authors always give one).
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
        values = (
            torch.zeros(txtdim)
            if instruction is None
            else torch.tensor(list(instruction), dtype=torch.float32)
        )
        if values.shape != (txtdim,):
            raise ValueError(f"InstructIR: an instruction is {txtdim} numbers, not {len(values)}")
        self.register_buffer("instruction", values, persistent=False)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        """
        return self.published(lq, self.instruction.expand(len(lq), -1))

    def published(self, lq: Tensor, instruction: Tensor) -> Tensor:
        """The authors' call: images as in `forward`, and an instruction (N, 256) of length 1 for each.

        Sizes that are no multiple of 2 ** levels are extended by zeros and cropped, as published.
        """
        return cropped(
            self._instructed(extended(lq, 1 << self.levels, mode="constant"), instruction), lq
        )

    def _instructed(self, lq: Tensor, instruction: Tensor) -> Tensor:
        x = self.intro(lq)
        skips = []
        for blocks, told, down in zip(self.encoders, self.enc_cond, self.downs):
            skips.append(told(_through(blocks, x), instruction))
            x = down(skips[-1])
        x = _through(self.middle_blks, x)
        for blocks, told, up in zip(self.decoders, self.dec_cond, self.ups):
            x = told(_through(blocks, up(x) + skips.pop()), instruction)
        return self.ending(x) + lq


def _through(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return x
