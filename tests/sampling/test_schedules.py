import json
from pathlib import Path

import numpy as np
import pytest
import torch

from wxr_plugin.sampling.schedules import ScheduleError, make_schedule

PUBLISHED = json.loads((Path(__file__).parents[1] / "parity" / "irsde_sampler.json").read_text())
ARRAYS = {
    "thetas": "theta",
    "sigmas": "sigma",
    "thetas_cumsum": "theta_cumsum",
    "sigma_bars": "sigma_bar",
}


@pytest.mark.parametrize("name", ARRAYS)
def test_the_cosine_schedule_is_the_published_one(name):
    values = getattr(make_schedule(), ARRAYS[name])
    assert values.dtype == torch.float32
    assert len(values) == PUBLISHED["length"]
    published = PUBLISHED["arrays"][name]
    np.testing.assert_allclose(values[PUBLISHED["indices"]], published, rtol=2e-4, atol=1e-7)


def test_its_step_and_noise_are_the_published_ones():
    schedule = make_schedule(max_sigma=50)  # 8-bit levels
    assert schedule.steps == 100
    assert schedule.dt == pytest.approx(PUBLISHED["dt"], rel=2e-4)
    assert schedule.max_sigma == pytest.approx(PUBLISHED["max_sigma"])


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_every_schedule_leaves_eps_of_the_clean_image_in_the_end(kind, steps):
    schedule = make_schedule(steps, kind, max_sigma=0.2, eps=0.01)
    left = torch.exp(-schedule.theta_cumsum * schedule.dt)
    assert left[0] == 1
    assert left[-1] == pytest.approx(0.01, rel=1e-3)
    assert (left.diff() < 0).all()
    assert schedule.sigma_bar[0] == 0
    assert schedule.sigma_bar[-1] == pytest.approx(0.2 * (1 - 0.01**2) ** 0.5)


def test_constant_and_linear_thetas():
    assert make_schedule(10, "constant").theta.tolist() == [1.0] * 11
    linear = make_schedule(9, "linear").theta
    torch.testing.assert_close(linear, torch.linspace(0.01, 2, 10))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "sigmoid"}, "'sigmoid'; there are cosine, linear, constant"),
        ({"steps": 0}, "steps >= 1"),
        ({"eps": 1.0}, "eps in"),
        ({"max_sigma": -1}, "max_sigma >= 0"),
    ],
)
def test_arguments_out_of_range_are_refused(wrong, message):
    with pytest.raises(ScheduleError, match=message):
        make_schedule(**wrong)
