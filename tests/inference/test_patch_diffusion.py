"""WeatherDiff through the restorer: sampled in patches, seeded by the photo, not by an IR-SDE."""

import numpy as np
import pytest
import torch

from wxr_plugin.archs.conditional_unet_arch import ConditionalUNet
from wxr_plugin.archs.weatherdiff_arch import WeatherDiff
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.diffusion import Diffusion, PatchDiffusion, make_diffusion
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.sampling.options import SamplingOptions
from wxr_plugin.sampling.patch_ddim import sample_in_patches
from wxr_plugin.sampling.schedules import ScheduleError

SMALL = {"ch": 32, "ch_mult": [1, 1], "num_res_blocks": 1, "image_size": 8, "attn_resolutions": [4]}
PHOTO = np.random.default_rng(0).integers(0, 256, (13, 19, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weatherdiff") / "net.pth"
    torch.save(
        {
            "params": WeatherDiff(**SMALL).state_dict(),
            "network_g": {"type": "WeatherDiff", **SMALL},
        },
        path,
    )
    return path


def test_a_photo_is_sampled_in_patches_from_its_own_noise(checkpoint):
    restorer = Restorer.from_checkpoint(
        checkpoint, sampling=SamplingOptions(steps=2, seed=5), device="cpu", tile=8
    )
    assert restorer.diffusion == PatchDiffusion(8, SamplingOptions(steps=2, seed=5))
    first = restorer.restore(PHOTO)
    restorer.restore(PHOTO[::-1].copy())
    assert np.array_equal(restorer.restore(PHOTO), first)
    restorer.diffusion = restorer.diffusion.checked(same_noise=True)
    frames = restorer.restore(PHOTO)
    assert not np.array_equal(frames, first)

    lq = torch.from_numpy(PHOTO).permute(2, 0, 1)[None] / 255
    by_hand = sample_in_patches(
        restorer.net, lq, 2, 8, 8, generator=torch.Generator().manual_seed(5)
    )
    assert np.array_equal(
        (by_hand[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy(), frames
    )


def test_noise_is_drawn_where_the_restorer_computes(checkpoint, monkeypatch):
    devices, real = [], PatchDiffusion.sample
    monkeypatch.setattr(PatchDiffusion, "sample", lambda *of: devices.append(of[-2]) or real(*of))
    restorer = Restorer.from_checkpoint(
        checkpoint, sampling=SamplingOptions(steps=1), device="cpu", tile=8
    )
    restorer.restore(PHOTO)
    assert devices == [restorer.device]


def test_what_does_not_go_with_patches_is_refused(checkpoint):
    with pytest.raises(WxrError, match=r"WeatherDiff is sampled by DDIM in patches.*leave it out"):
        Restorer.from_checkpoint(checkpoint, sde={"steps": 10}, device="cpu")
    with pytest.raises(WxrError, match="'ode' is a way to sample an IR-SDE"):
        PatchDiffusion(8, SamplingOptions(method="ode")).checked(False)
    with pytest.raises(ScheduleError, match="trained on a schedule of 1000"):
        PatchDiffusion(8, SamplingOptions(steps=1001)).checked(False)


def test_fewer_patches_at_a_time_where_memory_runs_out(checkpoint, monkeypatch, caplog):
    restorer = Restorer.from_checkpoint(checkpoint, sampling=SamplingOptions(steps=1), device="cpu")
    expected, forward, seen = restorer.restore(PHOTO), restorer.net.forward, []

    def hungry(xt, lq, time):
        if len(xt) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(len(xt))
        return forward(xt, lq, time)

    restorer.diffusion = restorer.diffusion.with_stride(4)._replace(at_once=16)
    monkeypatch.setattr(restorer.net, "forward", hungry)
    restored = restorer.restore(PHOTO)
    assert restorer.diffusion.at_once == 4 and max(seen) == 4 and sum(seen) == 3 * 4, (
        "12 patches, 4 pixels apart"
    )
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert lines == [f"out of memory; from now on {count} patches at a time" for count in (8, 4)]
    assert restored.shape == expected.shape and not np.array_equal(restored, expected)
    monkeypatch.setattr(restorer.net, "forward", lambda *_: hungry(torch.zeros(5), None, None))
    with pytest.raises(torch.OutOfMemoryError):
        restorer.restore(PHOTO)
    assert restorer.diffusion.at_once == 1


@pytest.mark.parametrize("stride", [0, 9])
def test_patches_that_leave_gaps_are_refused(stride):
    with pytest.raises(WxrError, match="patches of 8 pixels need 1 to 8"):
        PatchDiffusion(8, SamplingOptions()).with_stride(stride)


def test_other_networks_are_sampled_as_before():
    unet = ConditionalUNet(nf=8, ch_mult=[1, 2])
    assert isinstance(make_diffusion(unet, {"steps": 7}), Diffusion)
    assert make_diffusion(unet, None) is None
