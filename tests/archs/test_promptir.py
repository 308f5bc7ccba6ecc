from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.promptir_arch import PromptGenBlock, PromptIR

PARITY = Path(__file__).parents[1] / "parity"


def test_matches_the_published_network():
    parity.check(PromptIR(), PARITY / "promptir.json")


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_any_size_is_restored_as_its_extension(size):
    net, image = parity.fill(PromptIR(**PromptIR.smoke)), torch.rand(1, 3, *size)
    height, width = (-(-side // 8) * 8 for side in size)
    mode = "reflect" if height - size[0] < size[0] and width - size[1] < size[1] else "replicate"
    extended = torch.nn.functional.pad(image, (0, width - size[1], 0, height - size[0]), mode=mode)
    with torch.no_grad():
        assert torch.equal(net(image), net(extended)[..., : size[0], : size[1]])


def test_each_image_of_a_batch_chooses_its_own_prompt():
    block = PromptGenBlock(4, 3, 2, 6)
    x = torch.randn(2, 6, 5, 7)
    with torch.no_grad():
        both = block(x)
        assert both.shape == (2, 4, 5, 7) and not torch.allclose(both[0], both[1])
        torch.testing.assert_close(both[1:], block(x[1:]))


def test_unused_parameters_are_named_and_not_trained():
    net = PromptIR(**PromptIR.smoke)
    frozen = [name for name, parameter in net.named_parameters() if not parameter.requires_grad]
    assert len(frozen) == 6 and all(name.startswith(net.unused) for name in frozen)
