"""Files with other classes than tensors: stand-ins for harmless ones, refusal of all others."""

import argparse
import io
import os
import pickle
import struct
import sys
import tarfile
import types
from collections import OrderedDict, defaultdict

import pytest
import torch
from torch import nn

from wxr_plugin.checkpoints.containers import load_network_options, load_state, load_weights
from wxr_plugin.checkpoints.reading import CheckpointError

WEIGHTS = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2)}
OLD_AND_NEW = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


@pytest.fixture
def canary(tmp_path):
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists()


def write(path, content, zipped=True, protocol=2):
    torch.save(content, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return path


class Call:
    """Object that is pickled as a call, with a state for the result of the call."""

    def __init__(self, function, *args, state=None):
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.parts


@OLD_AND_NEW
@pytest.mark.parametrize("protocol", [2, 4])
def test_namespaces_and_numbers_of_numpy_do_not_matter(zipped, protocol, tmp_path):
    import numpy as np

    extras = {
        "args": argparse.Namespace(lr=1),
        "best": np.float64(3),
        "a": np.ones(2),
        "d": defaultdict(list, a=[1]),
    }
    path = write(tmp_path / "net.pth", {"state_dict": WEIGHTS, **extras}, zipped, protocol)
    loaded = load_weights(path)
    assert loaded.keys() == WEIGHTS.keys() and all(
        torch.equal(loaded[name], WEIGHTS[name]) for name in WEIGHTS
    )
    assert load_weights(path, mapped=True).keys() == WEIGHTS.keys()
    assert load_network_options(path, "args") is None
    with pytest.raises(CheckpointError, match=r"refused|Unsupported"):
        load_state(path)  # our own states hold nothing of the kind


@pytest.fixture
def networks():
    """Provide the code of other authors: the files below name it, but must be read without it."""
    module = types.ModuleType("networks")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU())
            self.shared = self.body[0]
            self.act = nn.functional.relu
            self.register_buffer("kept", torch.ones(2))
            self.register_buffer("hidden", torch.ones(2), persistent=False)

    Net.__module__, Net.__qualname__ = "networks", "Net"
    module.Net = sys.modules["networks"] = module
    module.Net = Net
    yield module
    sys.modules.pop("networks", None)


@OLD_AND_NEW
@pytest.mark.parametrize(
    "held", [lambda net: net, lambda net: {"epoch": 1, "model": nn.DataParallel(net)}]
)
def test_whole_networks_give_their_state_dict(zipped, held, networks, tmp_path, recwarn):
    net = networks.Net().half()
    path = write(tmp_path / "model.pkl", held(net), zipped)
    del sys.modules["networks"]
    recwarn.clear()  # of saving
    loaded, expected = load_weights(path), net.state_dict()
    assert loaded.keys() == expected.keys() and all(
        torch.equal(loaded[name], expected[name]) for name in expected
    )
    assert not recwarn.list


def test_networks_that_no_row_names_are_refused(networks, tmp_path):
    networks.Net.__module__ = "unheard"
    sys.modules["unheard"] = networks
    path = write(tmp_path / "model.pkl", networks.Net())
    with pytest.raises(CheckpointError, match=r"refused.*unheard\.Net"):
        load_weights(path)


MALICE = {
    "os.system": lambda canary: Call(os.system, f"touch {canary}"),
    "eval": lambda canary: Call(eval, f"open({str(canary)!r}, 'w')"),
    "getattr": lambda canary: Call(getattr, "", "upper"),
    "open": lambda canary: Call(open, str(canary), "w"),
    "torch.load": lambda canary: Call(torch.load, str(canary)),
    "state of a type": lambda canary: Call(type, "x", (), {}),
    "state of a list": lambda canary: Call(
        OrderedDict, state={"a": Call(exec, f"open({str(canary)!r}, 'w')")}
    ),
    "state of a tensor function": lambda canary: Call(
        torch._utils._rebuild_parameter, torch.ones(1), 1, 1, state={}
    ),
}


@OLD_AND_NEW
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", MALICE)
@pytest.mark.parametrize(
    "neighbour", [None, argparse.Namespace(a=1)], ids=["alone", "behind a stand-in"]
)
def test_malice_is_refused_unrun(neighbour, kind, protocol, zipped, tmp_path, canary):
    weights = {**WEIGHTS, "evil": MALICE[kind](canary)}
    content = {"args": neighbour, "state_dict": weights}
    path = write(tmp_path / "net.pth", content, zipped, protocol)
    with pytest.raises(CheckpointError) as error:
        load_weights(path)
    assert kind not in (
        "os.system",
        "eval",
        "open",
        "getattr",
        "torch.load",
    ) or "refused, since" in str(error.value)


class Stateful:
    """Class whose __setstate__ would run if it were looked up."""

    def __getstate__(self):
        return {"canary": self.canary}

    def __setstate__(self, state):
        open(state["canary"], "w").close()


@OLD_AND_NEW
def test_setstate_of_a_named_class_does_not_run(zipped, tmp_path, canary, monkeypatch):
    module = types.ModuleType("networks")
    module.Stateful = Stateful
    monkeypatch.setitem(sys.modules, "networks", module)
    monkeypatch.setattr(Stateful, "__module__", "networks")
    evil = Stateful()
    evil.canary = str(canary)
    path = write(tmp_path / "net.pth", {"args": evil, "state_dict": WEIGHTS}, zipped)
    assert load_weights(path).keys() == WEIGHTS.keys()


def test_functions_behind_harmless_names_are_not_called(tmp_path, canary, monkeypatch):
    module = types.ModuleType("networks")
    exec(f"def burn(*args): open({str(canary)!r}, 'w')", vars(module))
    module.burn.__module__ = "networks"
    monkeypatch.setitem(sys.modules, "networks", module)
    path = write(
        tmp_path / "net.pth", {"args": Call(module.burn, 1, state={"a": 1}), "state_dict": WEIGHTS}
    )
    assert load_weights(path).keys() == WEIGHTS.keys()


def test_names_behind_names_are_refused(tmp_path, canary):
    """Protocol 4 can name attributes of attributes, such as `Namespace.__init__.__globals__`."""
    evil = b"\x80\x04\x8c\x08argparse\x8c\x0f_os.system.real\x93."
    path = tmp_path / "net.pth"
    magic = (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {})
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in magic) + evil)
    with pytest.raises(CheckpointError, match=r"refused.*argparse\._os\.system"):
        load_weights(path)


def test_no_patch_is_written_for_a_class_of_an_old_file(tmp_path, monkeypatch):
    """The older format of torch compares sources, and writes a patch if the class requests it."""
    monkeypatch.chdir(tmp_path)
    state = pickle.dumps({"dump_patches": True}, 2)[2:-1]
    kind = b"cargparse\nNamespace\n"
    ask = (
        b"\x80\x02(X\x06\x00\x00\x00module"
        + kind
        + b"X\x01\x00\x00\x00aX\x01\x00\x00\x00btQ"
        + state
        + b"b."
    )
    magic = (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {})
    (tmp_path / "net.pth").write_bytes(
        b"".join(pickle.dumps(part, 2) for part in magic) + ask + pickle.dumps([], 2)
    )
    with pytest.raises(CheckpointError, match=r"refused.*a state for a type"):
        load_weights(tmp_path / "net.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_torchscript_and_the_tar_format_are_refused(tmp_path, canary):
    torch.jit.save(torch.jit.script(nn.Conv2d(3, 4, 1)), str(tmp_path / "script.pt"))
    payload = pickle.dumps(Call(os.system, f"touch {canary}"), 2)
    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            data = (
                payload
                if name == "pickle"
                else pickle.dumps(0, 2) + struct.pack("<q", 0) + pickle.dumps([], 2)
            )
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    for name in ("script.pt", "old.pt"):
        with pytest.raises(CheckpointError, match=name):
            load_weights(tmp_path / name)


def test_a_network_that_contains_itself_is_refused(tmp_path):
    net = nn.Sequential(nn.Linear(2, 2))
    net._modules["itself"] = net
    path = write(tmp_path / "net.pth", {"model": net})
    with pytest.raises(CheckpointError, match="a network that contains itself"):
        load_weights(path)
