"""Channels-last weights and the loss scale of fp16."""

import pytest
import torch
from basicsr.archs import build_network
from torch import nn

from wxr_plugin.models.base.precision import loss_scaler, to_channels_last

PROMPT_IR = {
    **{
        "type": "PromptIR",
        "dim": 8,
        "num_blocks": [1, 1, 1, 1],
        "num_refinement_blocks": 1,
        "heads": [1, 1, 1, 1],
    },
    **{"prompt_dims": [8, 8, 8], "prompt_sizes": [8, 4, 4], "num_prompts": 2},
}


def test_4d_weights_are_laid_out_and_5d_ones_stay():
    net = nn.Conv2d(3, 4, 3)
    net.prompts = nn.Parameter(torch.rand(1, 2, 3, 4, 4))
    optimizer_sees = net.weight
    assert to_channels_last(net) is net and net.weight is optimizer_sees
    assert net.weight.is_contiguous(memory_format=torch.channels_last)
    assert net.prompts.is_contiguous()


def test_promptir_trains_in_channels_last(options):
    from basicsr.models import build_model
    from toy_training import train

    opt = options(channels_last=True, ema_decay=0.9)
    opt["network_g"] = dict(PROMPT_IR)
    model = build_model(opt)
    images = torch.rand(2, 1, 3, 16, 16)
    train(model, [{"lq": images[0], "gt": images[1], "lq_path": ["a.png"]}])
    assert model.log_dict["l_pix"] > 0


def test_the_layout_changes_no_result():
    torch.manual_seed(0)
    net = build_network(dict(PROMPT_IR))
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        before = net(image)
        after = to_channels_last(net)(image.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize("distributed", [False, True])
def test_a_scaler_that_is_off_changes_nothing(distributed):
    scaler = loss_scaler(torch.device("cpu"), enabled=False, distributed=distributed)
    assert scaler.get_scale() == 1 and not scaler.is_enabled()
