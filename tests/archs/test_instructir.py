from pathlib import Path

import parity
import pytest
import torch

from wxr_plugin.archs.instructir_arch import InstructIR, LMHead

PARITY = Path(__file__).parents[1] / "parity"


def test_matches_the_published_network():
    def instructed(net, inputs):
        return net.published(inputs["x"], inputs["txtembd"])

    parity.check(InstructIR(), PARITY / "instructir.json", call=instructed)


def test_the_head_matches_the_published_head():
    parity.check(LMHead(), PARITY / "instructir_lm.json")


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50)])
def test_images_are_restored_by_the_stored_instruction(size):
    instruction = [0.5, -0.5, 0.1, 0.7, 0.0, 0.0]
    net = parity.fill(InstructIR(**InstructIR.smoke, instruction=instruction))
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(image)
        assert restored.shape == image.shape
        assert torch.equal(restored, net.published(image, torch.tensor([instruction] * 2)))
        none = parity.fill(InstructIR(**InstructIR.smoke))
        assert torch.equal(none(image), net.published(image, torch.zeros(2, 6)))
        assert not torch.allclose(none(image), restored)


def test_an_instruction_is_not_in_the_state_dict_and_has_its_length():
    assert "instruction" not in InstructIR(**InstructIR.smoke).state_dict()
    with pytest.raises(ValueError, match="is 6 numbers, not 2"):
        InstructIR(**InstructIR.smoke, instruction=[1, 2])
