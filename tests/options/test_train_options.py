"""Keys of the `train` block that contradict one another."""

import msgspec
import pytest

from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.pseudo_labelling.options import WResVLMTrainOptions

GRAPHS = [
    {"mode": "reduce-overhead"},
    {"mode": "max-autotune"},
    {"options": {"triton.cudagraphs": True}},
]
NO_GRAPHS = [True, {}, {"mode": "max-autotune-no-cudagraphs"}, {"options": {"max_autotune": True}}]


@pytest.mark.parametrize("compile", GRAPHS)
def test_cuda_graphs_and_accumulation_are_refused_together(compile):
    with pytest.raises(msgspec.ValidationError, match=r"replays CUDA graphs.*or accumulate: 1"):
        WxrTrainOptions.read({"compile": compile, "accumulate": 2})
    wresvlm = {
        "ema_decay": 0.9,
        "pixel_opt": {"type": "L1Loss"},
        "compile": compile,
        "accumulate": 2,
    }
    with pytest.raises(msgspec.ValidationError, match="replays CUDA graphs"):
        WResVLMTrainOptions.read(wresvlm)
    assert WxrTrainOptions.read({"compile": compile}).accumulate == 1


@pytest.mark.parametrize("compile", NO_GRAPHS)
def test_other_modes_accumulate(compile):
    assert WxrTrainOptions.read({"compile": compile, "accumulate": 2}).accumulate == 2
