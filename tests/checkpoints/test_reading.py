"""Files that are broken, missing or malicious."""

import os
import pickle

import pytest
import torch

from wxr_plugin.checkpoints.containers import load_state, load_weights, save_state
from wxr_plugin.checkpoints.reading import CheckpointError, is_whole


class Malice:
    """A pickle of it runs a command when an unsafe loader reads it."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("load", [load_weights, load_state])
@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
def test_malice_is_refused_unrun(tmp_path, load, container):
    path, canary = tmp_path / "evil.pth", tmp_path / "canary"
    content = {"params": {"conv.weight": Malice(canary)}}
    if container == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    with pytest.raises(
        CheckpointError, match=r"evil.pth: (refused, since loading it would run code|no checkpoint)"
    ):
        load(path)
    assert not canary.exists()
    if container != "pickle":  # the file does bite when it is loaded unsafely
        torch.load(path, weights_only=False)
        assert canary.exists()


@pytest.mark.parametrize("damage", ["truncated", "empty", "zeros", "html", "flipped"])
def test_broken_files_are_named(tmp_path, damage):
    path = tmp_path / "net.pth"
    save_state(path, {"params": {"w": torch.rand(4000)}})
    data = path.read_bytes()
    assert is_whole(path)
    middle = len(data) // 2
    path.write_bytes(
        {
            "truncated": data[:-100],
            "empty": b"",
            "zeros": bytes(len(data)),
            "html": b"<html>404</html>",
            "flipped": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
        }[damage]
    )
    assert not is_whole(path)
    with pytest.raises(CheckpointError, match=r"net.pth: no checkpoint, or a broken one"):
        load_state(path)


def test_a_missing_file_is_just_that(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path / "none.pth")
    assert not is_whole(tmp_path / "none.pth")
