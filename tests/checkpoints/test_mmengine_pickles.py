"""Checkpoints of MMEngine: their log is read, and anything else is refused."""

import os
import pickle
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from wxr_plugin.checkpoints.containers import load_state, load_weights
from wxr_plugin.checkpoints.reading import CheckpointError, read_dict


def hub() -> dict:
    hub = MessageHub("test_message_hub")
    for value in (0.5, 0.25, 1.0):
        hub.update_scalar("train/loss", value, 2)
    hub.update_info("iter", 3)
    hub.update_info_dict(
        {"best": np.float32(0.5), "seen": np.int64(7), "table": np.arange(6.0).reshape(2, 3).T}
    )
    return hub.state_dict()


def test_the_log_comes_back(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(2)}, "message_hub": hub()}, tmp_path / "iter_3.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "iter_3.pth", weights_only=True)
    content = read_dict(tmp_path / "iter_3.pth")
    history = content["message_hub"]["log_scalars"]["train/loss"]
    assert type(history) is HistoryBuffer and [part.tolist() for part in history.data] == [
        [0.5, 0.25, 1.0],
        [2, 2, 2],
    ]
    assert history.mean() == pytest.approx(1.75 / 6) and history.statistics("min", 2) == 0.25
    info = content["message_hub"]["runtime_info"]
    assert info["iter"] == 3 and info["best"] == np.float32(0.5) and info["seen"] == 7
    assert (
        np.array_equal(info["table"], np.arange(6.0).reshape(2, 3).T)
        and info["best"].dtype == np.float32
    )
    again = MessageHub("test_message_hub_again")
    again.load_state_dict(content["message_hub"])
    assert again.get_scalar("train/loss").current() == 1.0
    assert load_weights(tmp_path / "iter_3.pth")["w"].tolist() == [1, 1]


def test_weights_are_read_next_to_the_log_of_another_project(tmp_path):
    """Stand-ins replace the classes that torch's unpickler refuses."""
    content = {
        "state_dict": {"w": torch.ones(2)},
        "message_hub": hub(),
        "meta": SimpleNamespace(time="now"),
    }
    torch.save(content, tmp_path / "iter_3.pth")
    assert load_weights(tmp_path / "iter_3.pth")["w"].tolist() == [1, 1]


class Calls:
    """Pickles as a call of `function`, and of what that gives as calls of further ones."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Spoilt(HistoryBuffer):
    """A history whose statistic is whatever is given."""

    def __init__(self, statistic):
        super().__init__([1.0], [1])
        self.statistic = statistic

    def __reduce__(self):
        return HistoryBuffer, (), {**vars(self), "statistics_methods": {"min": self.statistic}}


MALICE = {
    "system": lambda canary: Calls(os.system, f"touch {canary}"),
    "getattr of another class": lambda canary: Calls(getattr, OrderedDict, "__reduce__"),
    "getattr of a history": lambda canary: Calls(getattr, HistoryBuffer, "__init__"),
    "builtins through a statistic": lambda canary: Calls(
        getattr, Calls(getattr, HistoryBuffer, "min"), "__globals__"
    ),
    "objects in an array": lambda canary: np.array(
        [Calls(os.system, f"touch {canary}")], dtype=object
    ),
    "numbers as pointers": lambda canary: Calls(
        np._core.multiarray.scalar, np.dtype("O"), b"\x01" * 8
    ),
    "a statistic": lambda canary: Spoilt(Calls(os.system, f"touch {canary}")),
}


@pytest.mark.parametrize("name", MALICE)
@pytest.mark.parametrize("read", [read_dict, load_state])
def test_code_in_it_is_refused(tmp_path, name, read):
    canary, path = tmp_path / "canary", tmp_path / "iter_3.pth"
    content = {"state_dict": {"w": torch.ones(2)}, "message_hub": hub()}
    content["message_hub"]["log_scalars"]["train/loss"] = MALICE[name](canary)
    torch.save(content, path)
    with pytest.raises(
        CheckpointError, match=r"iter_3.pth: refused, since loading it would run code"
    ):
        read(path)
    assert not canary.exists()
