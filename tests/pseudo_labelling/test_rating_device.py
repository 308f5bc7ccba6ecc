"""Each rank's rating process has a device of its own unless the options say otherwise."""

import os
import signal

import msgspec
import pytest
import torch

from wxr_plugin.pseudo_labelling import rater_process, unlabelled
from wxr_plugin.pseudo_labelling.options import AsyncOptions, WResVLMTrainOptions
from wxr_plugin.pseudo_labelling.rating_device import crowded, own_gpu, rating_device


@pytest.mark.parametrize(
    ("asked", "rank", "device"),
    [
        (None, 2, None),
        ("cuda:1", 2, "cuda:1"),
        ("cuda:{rank}", 2, "cuda:2"),
        (["cuda:4", "cuda:5"], 1, "cuda:5"),
        (["cuda:4", "cuda:5"], 2, "cuda:4"),
        (["cpu", "cuda:{rank}"], 3, "cuda:3"),
    ],
)
def test_a_rank_finds_its_device(asked, rank, device):
    assert AsyncOptions.read({"device": asked}).device == asked
    assert rating_device(asked, rank) == device


@pytest.mark.parametrize("asked", ["cuda:x", "GPU 1", "cuda:", "cuda:{ranks}", [], ["cuda:0", "1"]])
def test_a_wrong_device_is_refused_with_examples(asked):
    with pytest.raises(msgspec.ValidationError, match=r"device: .* device; write.*cuda:\{rank\}"):
        AsyncOptions.read({"device": asked})


@pytest.mark.parametrize(
    ("device", "training", "gpu"),
    [
        (None, "cuda", 3),  # the current one of the training process
        (None, "cuda:2", 2),
        ("cuda", "cuda:2", 2),
        ("cuda:1", "cuda:2", 1),
        ("cuda", "cpu", 3),
        ("cpu", "cuda:2", None),
        (None, "cpu", None),
    ],
)
def test_the_process_takes_the_gpu_of_its_rater_or_of_its_training(
    monkeypatch, device, training, gpu
):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert own_gpu(device, torch.device(training)) == gpu


@pytest.mark.parametrize(
    ("asked", "processes", "warned"),
    [
        ("cuda:1", 4, True),
        ("cuda:1", 1, False),
        ("cuda:4", 4, False),
        ("cuda:{rank}", 4, False),
        (["cuda:1"], 4, False),
    ],
)
def test_one_gpu_for_all_ranks_is_warned_of(monkeypatch, asked, processes, warned):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert ("cuda:{rank}" in (crowded(asked) or "")) == warned


@pytest.mark.parametrize(
    ("asked", "started"),
    [
        ({}, ({"type": "BrightnessRater"}, 1)),
        ({"device": "cuda:{rank}"}, ({"type": "BrightnessRater", "device": "cuda:1"}, 1)),
        ({"device": ["cuda:6", "cuda:7"]}, ({"type": "BrightnessRater", "device": "cuda:7"}, 7)),
    ],
)
def test_the_second_rank_starts_its_rater_on_its_own_gpu(tmp_path, monkeypatch, asked, started):
    made = []
    monkeypatch.setattr(unlabelled, "local_rank", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(
        unlabelled,
        "RaterProcess",
        lambda rater, plugins, gpu: made.append((rater, gpu)) or Silent(),
    )
    block = {
        "ema_decay": 0.9,
        "pixel_opt": {"type": "L1Loss"},
        "rater": {"type": "BrightnessRater"},
    }
    options = WResVLMTrainOptions.read({**block, "rating": {"async": asked}})
    unlabelled.Unlabelled(options, torch.device("cuda"), tmp_path)._client()
    assert made == [started]


class Silent:
    """A rating process that only starts."""

    def wait(self):
        return rater_process.Started({"type": "silent"})


def test_the_process_makes_its_gpu_the_current_one_before_it_builds_the_rater(monkeypatch):
    steps = []
    monkeypatch.setattr(signal, "signal", lambda *of: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda gpu: steps.append(gpu))

    def build(rater, plugins):
        steps.append("build")
        raise RuntimeError("enough")

    monkeypatch.setattr(rater_process, "_build", build)
    messages = type("Messages", (), {"send": lambda self, message: steps.append(message.error)})()
    rater_process.serve({}, [], os.getppid(), None, messages, gpu=5)
    assert steps == [5, "build", "RuntimeError: enough"]
