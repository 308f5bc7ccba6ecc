"""The device on which noise is drawn, and its dependence on the photo alone."""

import pytest
import torch

from wxr_plugin.inference import diffusion
from wxr_plugin.sampling.noise import image_generator, normal_like

IMAGE = torch.arange(12.0).view(3, 2, 2) / 12


class OnGpu(torch.Tensor):
    """An image that claims to be on a GPU."""

    device = torch.device("cuda:1")


@pytest.fixture
def made(monkeypatch):
    """Record the device of each generator that is created."""
    devices, real = [], torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device: devices.append(str(device)) or real())
    return devices


def test_noise_on_the_cpu_stays_the_same_across_versions():
    drawn = normal_like(IMAGE[None], image_generator(IMAGE, 3)).flatten()[:3]
    assert drawn.tolist() == pytest.approx(
        [-1.4881727695465088, -0.8455733060836792, 0.02462323009967804], abs=0
    )


def test_the_generator_is_on_the_device_of_the_image(made):
    image_generator(IMAGE, 3)
    image_generator(IMAGE.as_subclass(OnGpu), 3)
    assert made == ["cpu", "cuda:1"]


@pytest.mark.parametrize("same_noise", [False, True])
def test_a_photo_in_main_memory_gets_the_noise_of_the_gpu(made, same_noise):
    diffusion._generators(IMAGE[None], 3, same_noise, torch.device("cuda"))
    diffusion._generators(IMAGE[None], 3, same_noise, None)
    assert made == ["cuda", "cpu"]
