from pathlib import Path

import numpy as np
import parity
import pytest
import torch
from half_precision import bfloat16_error

from wxr_plugin.archs.maxim_arch import MAXIM
from wxr_plugin.archs.maxim_layers import Raise
from wxr_plugin.checkpoints.maxim_jax import from_jax
from wxr_plugin.errors import WxrError

PARITY = Path(__file__).parents[1] / "parity"


@pytest.mark.slow
@pytest.mark.parametrize("stages", [2, 3])
def test_matches_the_published_network(stages):
    net = MAXIM(num_stages=stages)
    parity.check(
        net, PARITY / f"maxim_s{stages}.json", call=lambda net, inputs: net.published(inputs["x"])
    )


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 50), (63, 130)])
def test_any_size_is_restored_in_the_middle_of_its_extension(size):
    net, image = parity.fill(MAXIM(**MAXIM.smoke)), torch.rand(1, 3, *size)
    even = torch.nn.functional.pad(
        image, (0, size[1] % 2, 0, size[0] % 2), mode="replicate" if 1 in size else "reflect"
    )
    rows, columns = (-side % 64 // 2 for side in even.shape[-2:])
    mode = "reflect" if rows < even.shape[-2] and columns < even.shape[-1] else "replicate"
    extended = torch.nn.functional.pad(even, (columns, columns, rows, rows), mode=mode)
    with torch.no_grad():
        expected = net.published(extended)[-1][-1][
            ..., rows : rows + size[0], columns : columns + size[1]
        ]
        assert torch.equal(net(image), expected)


def test_runs_in_half_and_double_precision():
    torch.manual_seed(0)
    net, image = MAXIM(**MAXIM.smoke).eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = net(image)
        torch.testing.assert_close(net.double()(image.double()).float(), expected)
    assert bfloat16_error(parity.fill(net.float()), image, skip=image) < 0.03


def as_jax(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Convert a state dict to the arrays that the authors would have saved."""
    arrays = {"opt/state/step": np.array(3)}
    for name, tensor in state.items():
        *modules, kind = name.split(".")
        array = tensor.numpy()
        if array.ndim == 2:
            array = array.T
        elif array.ndim == 4 and modules[-1].startswith("ConvTranspose"):
            array = array.transpose(2, 3, 0, 1)[::-1, ::-1]
        elif array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        is_norm = "norm" in modules[-1].lower()
        kind = kind if kind == "bias" else "scale" if is_norm else "kernel"
        arrays["/".join(("opt/target", *modules, kind))] = array
    return arrays


def test_the_authors_arrays_become_the_state_dict():
    torch.manual_seed(0)
    net, converted = MAXIM(**MAXIM.smoke).eval(), MAXIM(**MAXIM.smoke).eval()
    converted.load_state_dict(from_jax(as_jax(net.state_dict())))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(image), converted(image))


def test_a_converted_transposed_convolution_computes_as_in_jax():
    kernel, x = (
        np.random.default_rng(0).random((2, 2, 3, 4), dtype=np.float32),
        torch.rand(1, 5, 6, 3),
    )
    layer = Raise(3, 4)
    state = from_jax(
        {f"opt/target/ConvTranspose_0/{kind}": array for kind, array in [("kernel", kernel)]}
    )
    layer.load_state_dict({"weight": state["ConvTranspose_0.weight"], "bias": torch.zeros(4)})
    spread = torch.zeros(
        1, 11, 13, 3
    )  # jax.lax.conv_transpose, SAME: zeros between the pixels and one around
    spread[:, 1::2, 1::2] = x
    expected = sum(
        torch.einsum(
            "nhwi,io->nhwo", spread[:, a : a + 10, b : b + 12], torch.from_numpy(kernel[a, b])
        )
        for a in range(2)
        for b in range(2)
    )
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)


def test_other_arrays_are_refused():
    with pytest.raises(WxrError, match="not a checkpoint of MAXIM"):
        from_jax({"weight": np.zeros(3)})
    with pytest.raises(WxrError, match="opt/target/a/mean: not a kernel"):
        from_jax({"opt/target/a/mean": np.zeros(3)})
