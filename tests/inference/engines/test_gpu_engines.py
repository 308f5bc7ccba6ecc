"""Arguments of CUDA and TensorRT, with stand-ins: no GPU is needed."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from wxr_plugin.inference.engines import building, choosing, ort
from wxr_plugin.inference.engines.graphs import Sides
from wxr_plugin.inference.engines.ort import CPU, CUDA, TENSORRT, OrtSession, providers_of
from wxr_plugin.inference.engines.session import EngineError

GPU = torch.device("cuda", 1)
CACHE = Path("engines")


class Options:
    """Session options of ONNX Runtime."""


class FakeSession:
    """An inference session that records its arguments."""

    def __init__(self, model, options, providers):
        self.model, self.options, self.providers = model, options, providers

    def get_inputs(self):
        return [SimpleNamespace(name="lq")]

    def get_outputs(self):
        return [SimpleNamespace(name="restored")]


@pytest.fixture
def runtime(monkeypatch):
    """Stand in for a build of ONNX Runtime with all providers."""
    fake = SimpleNamespace(
        SessionOptions=Options,
        InferenceSession=FakeSession,
        get_available_providers=lambda: [TENSORRT, CUDA, CPU],
    )
    monkeypatch.setattr(ort, "imported", lambda name: fake)
    return fake


def test_a_cpu_has_its_own_provider(runtime):
    assert providers_of("onnxruntime", torch.device("cpu"), "fp32", CACHE) == [(CPU, {})]


def test_cuda_gets_the_index_of_the_gpu(runtime):
    assert providers_of("onnxruntime", GPU, "fp32", CACHE) == [(CUDA, {"device_id": 1})]


@pytest.mark.parametrize(("precision", "is_half"), [("fp32", False), ("fp16", True)])
def test_tensorrt_comes_before_cuda_and_keeps_what_it_built(runtime, precision, is_half):
    (first, options), second = providers_of("tensorrt", GPU, precision, CACHE)
    assert first == TENSORRT and second == (CUDA, {"device_id": 1})
    assert options == {
        "device_id": 1,
        "trt_fp16_enable": is_half,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": "engines",
    }


@pytest.mark.parametrize("engine", ["onnxruntime", "tensorrt"])
def test_a_build_without_the_provider_says_what_to_install(runtime, engine):
    runtime.get_available_providers = lambda: [CPU]
    with pytest.raises(EngineError, match="install onnxruntime-gpu in place of onnxruntime"):
        providers_of(engine, GPU, "fp32", CACHE)


def test_a_session_gets_providers_threads_and_device(runtime):
    providers = providers_of("tensorrt", GPU, "fp16", CACHE)
    session = OrtSession(b"graph", Sides(), providers, "tensorrt")
    assert session.name == "tensorrt" and session.device == GPU
    assert session.session.providers == providers and session.session.model == b"graph"
    assert session.session.options.intra_op_num_threads == torch.get_num_threads()


class Binding:
    """An input and output binding that records its arguments."""

    def __init__(self):
        self.bound = {}

    def bind_input(self, name, *place):
        self.bound[name] = place

    bind_output = bind_input


def test_a_gpu_image_is_bound_in_place(runtime, monkeypatch):
    session = OrtSession(b"graph", Sides(), providers_of("onnxruntime", GPU, "fp32", CACHE))
    binding, ran = Binding(), []
    session.session.io_binding = lambda: binding
    session.session.run_with_iobinding = ran.append
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *_: tensor)
    image = torch.rand(1, 3, 5, 7)
    restored = session.run(image)
    kind, index, _, shape, address = binding.bound["lq"]
    assert (kind, index, shape, address) == ("cuda", 1, (1, 3, 5, 7), image.data_ptr())
    assert binding.bound["restored"][4] == restored.data_ptr() and ran == [binding]


def test_each_kind_of_device_has_its_candidates():
    assert choosing.candidates(GPU) == ("tensorrt", "onnxruntime")
    assert choosing.candidates(torch.device("cpu")) == ("openvino", "onnxruntime")


def test_openvino_is_for_cpus():
    with pytest.raises(EngineError, match="take the device cpu"):
        building.check_engine("openvino", GPU, "fp32")
