"""Fixtures of networks: their content, and a check that accepts rounding errors only."""

import json

import parity
import pytest
import torch
from torch import nn


class Rough(nn.Module):
    """Loses digits of float32 on the way: 1e-3 and more of its values are rounding."""

    def __init__(self, loss):
        super().__init__()
        self.conv, self.loss = nn.Conv2d(3, 4, 3), loss

    def forward(self, x):
        return self.conv(x) + self.loss - self.loss


def fixture(path, loss, error=0.0):
    """Return a fixture of a network without `loss`, off by `error`, for one with it."""
    parity.record(Rough(0), "rough", {"x": (1, 3, 8, 8)}, {"license": "MIT"}, path)
    content = json.loads(path.read_text())
    for output in content["outputs"]:
        output["values"] = [value + error for value in output["values"]]
    path.write_text(json.dumps(content))
    return path


def test_a_fixture_has_names_shapes_and_values(tmp_path):
    content = json.loads(fixture(tmp_path / "rough.json", 0).read_text())
    assert content["state_dict"] == [
        ["conv.weight", [4, 3, 3, 3], "float32"],
        ["conv.bias", [4], "float32"],
    ]
    assert (content["name"], content["license"], content["params"]) == ("rough", "MIT", 112)
    (output,) = content["outputs"]
    assert output["shape"] == [1, 4, 6, 6] and len(set(output["at"])) == len(output["values"]) == 64
    out = Rough(0)
    parity.fill(out)
    with torch.no_grad():
        values = out(parity.make_input("x", [1, 3, 8, 8])).flatten()[output["at"]]
    torch.testing.assert_close(values, torch.tensor(output["values"]))


@pytest.mark.parametrize("factor", [0.0, float("inf")])
def test_a_fixture_that_shows_nothing_is_not_recorded(tmp_path, factor):
    class Flat(Rough):
        def forward(self, x):
            return factor * self.conv(x).abs()

    with pytest.raises(ValueError, match="nothing can be compared with it"):
        parity.record(Flat(0), "flat", {"x": (1, 3, 8, 8)}, {}, tmp_path / "flat.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [0, 1e-6])
def test_rounding_of_float32_is_accepted_without_a_warning(tmp_path, recwarn, error):
    parity.check(Rough(0), fixture(tmp_path / "rough.json", 0, error))
    assert not [warning for warning in recwarn if warning.category is parity.RoundingWarning]


def test_rounding_is_let_through_with_a_warning(tmp_path):
    net = Rough(2.0**14)
    with pytest.warns(
        parity.RoundingWarning, match=r"out: compared within 0\.0\d+ of its standard deviation"
    ):
        parity.check(net, fixture(tmp_path / "rough.json", 2.0**14))
    assert net.conv.weight.dtype == torch.float32


@pytest.mark.filterwarnings("ignore::parity.RoundingWarning")
@pytest.mark.parametrize(
    ("loss", "error", "words"), [(0, 2e-3, "Not equal"), (2.0**14, 0.02, "Not equal")]
)
def test_nothing_else_is(tmp_path, loss, error, words):
    with pytest.raises(AssertionError, match=words):
        parity.check(Rough(loss), fixture(tmp_path / "rough.json", loss, error))


@pytest.mark.parametrize("loss", [2.0**17, 2.0**22])
def test_a_fixture_that_rounding_drowns_shows_nothing(tmp_path, loss):
    with pytest.raises(AssertionError, match="rounding alone changes it"):
        parity.check(Rough(loss), fixture(tmp_path / "rough.json", loss))
