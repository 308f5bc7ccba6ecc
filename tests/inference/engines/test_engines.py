"""A photo restored by an engine equals that of torch; engines refuse what they cannot compute."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from wxr_plugin.archs.nafnet_arch import NAFNet
from wxr_plugin.contributing.network_checks import build_quick
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.engines import building, cache, choosing, openvino_session
from wxr_plugin.inference.engines.graphs import Sides
from wxr_plugin.inference.engines.session import EngineError, Session
from wxr_plugin.inference.engines.table import exports
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.utils.extras import MissingExtraError

ENGINES = ("onnxruntime", "openvino")
CPU = torch.device("cpu")


class Small(nn.Module):
    """A network of another package."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1)
        )

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        return lq + self.layers(lq)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep graphs of these tests apart from those of the user."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (75, 133, 3), np.uint8)


def levels_apart(one, two):
    return int(np.abs(one.astype(int) - two).max())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("tile", [None, 64])
def test_an_engine_restores_a_photo_as_torch_does(engine, tile, photo):
    settings = {"device": "cpu", "tile": tile, "overlap": 16, "batch": 2}
    expected = Restorer(Small(), **settings).restore(photo)
    restorer = Restorer(Small(), engine=engine, **settings)
    assert restorer.engine == engine
    assert levels_apart(restorer.restore(photo), expected) <= 1
    assert levels_apart(expected, photo) > 5


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_load_traces_and_verifies_nothing(engine, monkeypatch):
    Restorer(Small(), "cpu", engine=engine)
    monkeypatch.setattr(building, "trace", None)
    monkeypatch.setattr(building, "verify", None)
    assert Restorer(Small(), "cpu", engine=engine).engine == engine


def test_other_weights_settings_and_code_have_another_digest():
    net = build_quick(NAFNet)
    digest = cache.digest(net)
    assert digest == cache.digest(build_quick(NAFNet))
    net.local_size = 64
    assert cache.digest(net) != digest
    net = build_quick(NAFNet)
    with torch.no_grad():
        next(net.parameters()).view(-1)[0] += 1
    assert cache.digest(net) != digest


def test_bf16_needs_a_cpu_that_has_it(monkeypatch):
    monkeypatch.setattr(openvino_session, "has_bf16", lambda: False)
    with pytest.raises(EngineError, match="no bfloat16"):
        Restorer(Small(), "cpu", precision="bf16", engine="openvino")


def test_bf16_differs_from_torch_by_rounding_alone(photo):
    if not openvino_session.has_bf16():
        pytest.skip("this CPU has no bfloat16")
    expected = Restorer(Small(), "cpu").restore(photo)
    restored = Restorer(Small(), "cpu", precision="bf16", engine="openvino").restore(photo)
    assert 0 < levels_apart(restored, expected) <= 3


@pytest.mark.parametrize(
    ("engine", "settings", "words"),
    [
        ("onnxruntime", {"precision": "bf16"}, "does not compute in bf16"),
        ("tensorrt", {}, "needs an NVIDIA GPU"),
        ("ncnn", {}, "take one of torch, onnxruntime, openvino, tensorrt, auto"),
    ],
)
def test_what_an_engine_cannot_do_is_one_line(engine, settings, words):
    with pytest.raises(WxrError, match=words) as caught:
        Restorer(Small(), "cpu", engine=engine, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_package_names_the_extra(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(MissingExtraError, match=r'pip install "wxr_plugin\[on?nx\]"|openvino\]"'):
        Restorer(Small(), "cpu", engine=engine)


def test_a_network_that_is_not_exported_runs_in_torch_with_auto():
    net = Small()
    net.forward = lambda lq, time: lq  # a network that predicts noise
    with pytest.raises(EngineError, match=r"sampled in steps.*take torch"):
        choosing.session_of(net, "openvino", CPU, "fp32", net)
    assert choosing.session_of(net, "auto", CPU, "fp32", net) is None


class Wrong(Session):
    name = "openvino"

    def run(self, image):
        return image + 0.01


def test_an_engine_with_another_result_is_refused(monkeypatch):
    monkeypatch.setattr(building, "OpenVinoSession", lambda *_: Wrong(Sides()))
    with pytest.raises(EngineError, match=r"differs from torch's by up to 0\.\d+ .*take torch"):
        Restorer(Small(), "cpu", engine="openvino")
    restorer = Restorer(Small(), "cpu", engine="auto")
    assert restorer.engine in ("torch", "onnxruntime")


def test_auto_takes_the_fastest_and_measures_once(monkeypatch):
    times = iter([3.0, 1.0, 2.0])  # torch, OpenVINO, ONNX Runtime
    monkeypatch.setattr(choosing, "_seconds", lambda run, image: next(times))
    assert Restorer(Small(), "cpu", engine="auto").engine == "openvino"
    assert Restorer(Small(), "cpu", engine="auto").engine == "openvino"


def test_auto_stays_with_torch_for_a_small_gain(monkeypatch):
    times = iter([1.05, 1.0, 2.0])
    monkeypatch.setattr(choosing, "_seconds", lambda run, image: next(times))
    assert Restorer(Small(), "cpu", engine="auto").engine == "torch"


def test_auto_without_engines_is_torch(monkeypatch):
    for package in ENGINES:
        monkeypatch.setitem(sys.modules, package, None)
    assert Restorer(Small(), "cpu", engine="auto").engine == "torch"


class Narrow(Session):
    """A session that would fail, for images of up to 32 pixels."""

    def run(self, image):
        raise RuntimeError("not for this size")


def test_sizes_that_a_graph_does_not_take_run_in_torch(photo):
    restorer = Restorer(Small(), "cpu")
    expected = restorer.restore(photo)
    restorer._session = Narrow(Sides(least=1, largest=32))
    assert np.array_equal(restorer.restore(photo), expected)
    assert not Sides(multiple=8).fit(16, 17) and Sides(multiple=8, least=16).fit(16, 24)
    assert not Sides(least=4).fit(3, 8) and not Sides(largest=8).fit(8, 9)


class Greedy(Session):
    """A session whose engine has no memory for images above 64 pixels."""

    name = "onnxruntime"

    def run(self, image):
        if max(image.shape[-2:]) > 64:
            raise RuntimeError("bad_alloc: Failed to allocate memory for requested buffer")
        return image


def test_tiles_are_halved_where_an_engine_runs_out_of_memory(photo, caplog):
    restorer = Restorer(Small(), "cpu")
    restorer._session = Greedy(Sides())
    assert np.array_equal(restorer.restore(photo), photo)
    assert restorer.tile == 66 and "out of memory" in caplog.text


def test_page_has_the_table_of_exports():
    page = (Path(__file__).parents[3] / "docs/engines.md").read_text(encoding="utf-8")
    for name, export in exports().items():
        cells = []
        for value in (export.onnx, export.pt2):
            size = "any size" if value == 1 else f"multiples of {value}"
            cells.append(size if isinstance(value, int) else f"no: {value}")
        assert f"| {name} | {cells[0]} | {cells[1]} |" in page
