import json
import math
from pathlib import Path

import numpy as np
import parity
import pytest
import torch

from wxr_plugin.archs.weatherdiff_arch import WeatherDiff
from wxr_plugin.sampling.patch_ddim import (
    alpha_bars,
    ddim_step,
    noise_in_patches,
    patch_corners,
    sample_in_patches,
    sampling_times,
)
from wxr_plugin.sampling.schedules import ScheduleError

FIXTURE = Path(__file__).parents[1] / "parity" / "weatherdiff_sampler64.json"
BARS = alpha_bars()


def photos(*size):
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))


def normal(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def oracle(clean):
    """Return a perfect network for states whose clean image has the one colour `clean`."""

    def predict(xt, lq, time):
        bar = BARS[int(time) + 1]
        return (xt - bar.sqrt() * (2 * clean - 1)) / (1 - bar).sqrt()

    return predict


@pytest.mark.slow
def test_samples_as_the_authors_do():
    outputs = []

    def call(net, inputs):
        lq, start = inputs["x_cond"], (inputs["noise"] - 0.5) * math.sqrt(12)

        def predict(*patches):
            outputs.append(net(*patches))
            return outputs[-1]

        image = sample_in_patches(predict, lq, steps=5, start=start)
        noise = noise_in_patches(lambda *_: outputs[0], start, lq, 800)
        first_x0, step1 = (ddim_step(start, noise, BARS[801], BARS[then]) for then in (0, 601))
        return {
            "first_x0": first_x0,
            "step1": step1,
            "final": 2 * image - 1,
            "image": image.clamp(0, 1),
        }

    parity.check(WeatherDiff(), FIXTURE, call=call)
    assert len(outputs) == 5


def test_the_grid_is_the_fixtures():
    height, width = json.loads(FIXTURE.read_text())["inputs"]["x_cond"]["shape"][-2:]
    assert patch_corners(height, width, 64, 16) == [
        (top, left) for top in (0, 16) for left in (0, 16, 32)
    ]


def test_the_last_patch_ends_with_the_image():
    assert patch_corners(64, 70, 64, 16) == [(0, 0), (0, 6)]


@pytest.mark.parametrize(("patch", "stride"), [(64, 0), (64, 65), (81, 16)])
def test_patches_that_leave_gaps_or_do_not_fit_are_an_error(patch, stride):
    with pytest.raises(ValueError, match="cannot cover an image of 96x80"):
        patch_corners(80, 96, patch, stride)


def test_the_published_times():
    assert sampling_times(25) == list(range(960, -1, -40))
    assert sampling_times(1) == [0]
    assert sampling_times(1000)[0] == 999
    for steps in (0, 1001):
        with pytest.raises(ScheduleError):
            sampling_times(steps)


def test_alpha_bars_run_from_all_to_nearly_nothing():
    assert BARS.shape == (1001,) and BARS[0] == 1 and BARS[1] == pytest.approx(0.9999)
    assert (BARS.diff() < 0).all() and 0 < BARS[-1] < 1e-4


def test_a_pixel_has_the_mean_noise_of_its_patches():
    """Two patches of 4 pixels share two columns; each predicts its number in the grid."""

    def numbered(xt, lq, time):
        return torch.arange(len(xt) / 2).repeat_interleave(2)[:, None, None, None].expand_as(xt)

    noise = noise_in_patches(numbered, torch.zeros(2, 3, 4, 6), photos(4, 6), 0, patch=4, stride=2)
    np.testing.assert_allclose(noise, torch.tensor([0, 0, 0.5, 0.5, 1, 1]).expand(2, 3, 4, 6))


def test_images_stay_apart_and_the_batch_does_not_matter():
    xt, lq, sizes = normal(20, 24), photos(20, 24), []

    def predict(states, seen, time):
        sizes.append(len(states))
        return states * seen + time

    for batch in (64, 2):
        noise = noise_in_patches(predict, xt, lq, 7, patch=8, stride=4, batch=batch)
        torch.testing.assert_close(noise, xt * lq + 7)
    assert sizes[0] == 2 * 4 * 5 and set(sizes[1:]) == {4}


@pytest.mark.parametrize("size", [(5, 7), (64, 64), (70, 81)])
def test_with_perfect_noise_the_clean_image_comes_back(size):
    lq = photos(*size)
    restored = sample_in_patches(
        oracle(0.3), lq, steps=4, generator=torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(restored, torch.full_like(lq, 0.3), rtol=0, atol=1e-4)


def test_a_step_keeps_the_noise_and_the_clean_image():
    clean, noise = photos(8, 8) * 2 - 1, normal(8, 8)

    def state(at):
        return BARS[at].sqrt() * clean + (1 - BARS[at]).sqrt() * noise

    torch.testing.assert_close(
        ddim_step(state(801), noise, BARS[801], BARS[401]), state(401), rtol=1e-4, atol=1e-4
    )


def test_an_images_noise_comes_from_its_generator():
    lq = photos(16, 16)

    def sample(images, *seeds):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return sample_in_patches(
            lambda xt, lq, time: 0.1 * xt, images, steps=2, patch=16, generator=generators
        )

    both, alone = sample(lq, 1, 2), sample(lq[1:], 2)
    torch.testing.assert_close(both[1:], alone)
    assert not torch.allclose(both[:1], both[1:])


def test_the_times_can_be_watched():
    seen = []
    sample_in_patches(
        oracle(0.5),
        photos(8, 8),
        steps=5,
        patch=8,
        stride=8,
        progress=lambda t: seen.extend(t) or t,
    )
    assert seen == [800, 600, 400, 200, 0]
