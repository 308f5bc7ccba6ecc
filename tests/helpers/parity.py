"""Weight-free parity: does a network have the published one's state dict and compute the same?

A fixture is a JSON file with the names and shapes of the authors' state dict and a few sampled
values of their network's output when every parameter is set by `fill` and every input by
`make_input`. `record` writes one, `check` compares.
"""

import copy
import json
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def _seeded(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def _values(key: str, shape: tuple[int, ...]) -> np.ndarray:
    noise = _seeded(key).standard_normal(shape)
    if key.endswith("running_var"):
        return 1 + 0.1 * np.abs(noise)
    if len(shape) >= 2:
        return noise / np.sqrt(max(1, np.prod(shape[1:])))
    return 1 + 0.1 * noise if key.endswith("weight") else 0.05 * noise


@torch.no_grad()
def fill(net: nn.Module) -> nn.Module:
    """Fill each floating entry of the state dict in place by its name and shape; set eval mode.

    An entry with two names has the values of the last one, so those of the first are not drawn.
    """
    state = net.state_dict()
    last = {(tensor.data_ptr(), tensor.shape): key for key, tensor in state.items()}
    for key, tensor in state.items():
        if tensor.is_floating_point() and last[tensor.data_ptr(), tensor.shape] == key:
            values = np.asarray(_values(key, tuple(tensor.shape)), dtype=np.float32)
            tensor.copy_(torch.from_numpy(values))
    return net.eval()


def make_input(
    name: str, shape: tuple[int, ...], dtype: str = "float32", high: int | None = None
) -> Tensor:
    """Return uniform [0, 1) floats, or integers below `high`, from a generator seeded by `name`."""
    if dtype.startswith("int"):
        return torch.from_numpy(_seeded(name).randint(0, high, size=shape).astype(dtype))
    return torch.from_numpy(_seeded(name).random_sample(shape).astype(np.float32))


SAMPLES = 64
"""Values of each output that a fixture keeps."""
ROUNDING = 4
"""Largest ratio of the difference from the fixture, in float32 too, to the loss in float32."""
ROOM = 0.02
"""Largest tolerance for rounding, as a share of the output's standard deviation."""


class RoundingWarning(UserWarning):
    """An output was compared with more tolerance than `rtol` and `atol`, for rounding."""


def check(
    net: nn.Module,
    path: str | Path,
    call: Callable | None = None,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Raise AssertionError with every kind of difference between `net` and the fixture `path`.

    `call(net, inputs)` runs a network whose inputs a plain call does not fit. `net` is filled and
    in eval mode after. With filled values some networks amplify rounding so far that another
    processor is enough for another result. What differs by more than `rtol` may differ by
    `ROUNDING` times the largest change that float64 makes to that output, up to `ROOM` of its
    standard deviation; a `RoundingWarning` names the output and the tolerance.
    """
    fixture = json.loads(Path(path).read_text())
    _check_state(net, fixture)
    inputs = {name: make_input(name, **spec) for name, spec in fixture["inputs"].items()}
    outputs, exact = _run(fill(net), inputs, call), None
    for wanted in fixture["outputs"]:
        got, tolerance = outputs[wanted["name"]], atol * max(1.0, wanted["std"])
        assert list(got.shape) == wanted["shape"], (
            f"{wanted['name']} is {list(got.shape)}, not {wanted['shape']}"
        )
        values = got.double().flatten().numpy()[wanted["at"]]
        if not np.allclose(values, wanted["values"], rtol, tolerance):
            exact = exact or _run(
                copy.deepcopy(net).double(), {key: _double(x) for key, x in inputs.items()}, call
            )
            tolerance += _rounding(wanted, got, exact[wanted["name"]])
        np.testing.assert_allclose(values, wanted["values"], rtol=rtol, atol=tolerance)


def _rounding(wanted: dict, got: Tensor, exact: Tensor) -> float:
    """Return the tolerance that float32's rounding needs in an output, and warn that it is used."""
    rounding = ROUNDING * (got - exact).abs().max().item()
    share = rounding / wanted["std"]
    assert share < ROOM, (
        f"{wanted['name']}: rounding alone changes it by {share:.2g} of its deviation"
    )
    tolerance = f"{share:.2g} of its standard deviation"
    message = f"{wanted['name']}: compared within {tolerance} because of rounding"
    warnings.warn(message, RoundingWarning, stacklevel=3)
    return rounding


def record(
    net: nn.Module,
    name: str,
    inputs: dict[str, tuple[int, ...] | dict],
    meta: dict[str, str],
    path: str | Path,
    call: Callable | None = None,
) -> None:
    """Write the fixture `name` of the authors' network `net` to `path`; fill `net`, set eval mode.

    Args:
        inputs: shape of each, or the arguments of `make_input` next to the name.
        meta: paper, source, license, construct, call, and what else is worth knowing.
        call: as in `check`.

    Raises ValueError for an output that is constant or not finite: it would show nothing.
    """
    specs = {
        key: spec if isinstance(spec, dict) else {"shape": list(spec)}
        for key, spec in inputs.items()
    }
    outputs = _run(fill(net), {key: make_input(key, **spec) for key, spec in specs.items()}, call)
    fixture = {
        "name": name,
        **meta,
        "params": sum(parameter.numel() for parameter in net.parameters()),
        "inputs": specs,
        "state_dict": [
            [key, list(x.shape), str(x.dtype).removeprefix("torch.")]
            for key, x in net.state_dict().items()
        ],
        "outputs": [_sampled(key, output) for key, output in outputs.items()],
    }
    Path(path).write_text(json.dumps(fixture, separators=(",", ":")))


def _sampled(name: str, output: Tensor) -> dict:
    values = output.double().flatten().numpy()
    mean, std = float(values.mean()), float(values.std())
    if not np.isfinite(mean) or std <= 1e-6:
        raise ValueError(
            f"{name} has the mean {mean} and the deviation {std}; nothing can be compared with it"
        )
    at = _seeded(name).choice(values.size, min(SAMPLES, values.size), replace=False).tolist()
    return {
        "name": name,
        "shape": list(output.shape),
        "mean": mean,
        "std": std,
        "at": at,
        "values": values[at].tolist(),
    }


@torch.no_grad()
def _run(net: nn.Module, inputs: dict[str, Tensor], call: Callable | None) -> dict[str, Tensor]:
    return dict(_flatten(call(net, inputs) if call else net(*inputs.values())))


def _double(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


def _check_state(net: nn.Module, fixture: dict) -> None:
    want = {key: tuple(shape) for key, shape, _ in fixture["state_dict"]}
    have = {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}
    missing, extra = sorted(want.keys() - have.keys()), sorted(have.keys() - want.keys())
    shapes = {
        key: (have[key], want[key]) for key in want.keys() & have.keys() if have[key] != want[key]
    }
    assert not (missing or extra or shapes), (
        f"missing {missing[:5]}, extra {extra[:5]}, shapes (ours, theirs) {shapes}"
    )


def _flatten(output: object, name: str = "out") -> list[tuple[str, Tensor]]:
    if torch.is_tensor(output):
        return [(name, output)]
    items = output.items() if isinstance(output, dict) else enumerate(output)
    return [pair for key, value in items for pair in _flatten(value, f"{name}.{key}")]
