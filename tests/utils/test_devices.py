"""Torch devices by name."""

import pytest
import torch

from wxr_plugin.cli import main as cli
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.devices import device_of

UNUSABLE = [
    "nope",
    "cuda:99",
    pytest.param("cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="GPU")),
]


def test_a_device_that_is_here():
    assert device_of("cpu") == torch.device("cpu")
    assert device_of(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_device_that_is_not_here(name):
    with pytest.raises(WxrError, match=f"device '{name}' cannot be used here .*; try cpu"):
        device_of(name)


@pytest.mark.parametrize("name", UNUSABLE)
def test_restoring_on_a_device_that_is_not_here(name, tmp_path, capsys):
    import numpy as np

    write_image(tmp_path / "a.png", np.zeros((16, 16, 3), np.uint8))
    command = ["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "--device", name]
    assert cli.main(command) == 2
    printed = capsys.readouterr().err
    assert f"device '{name}' cannot be used here" in printed and "Traceback" not in printed
