import json
from pathlib import Path

import numpy as np
import parity
import pytest
import torch

from wxr_plugin.sampling import sde
from wxr_plugin.sampling.schedules import ScheduleError, make_schedule

PUBLISHED = json.loads((Path(__file__).parents[1] / "parity" / "irsde_sampler.json").read_text())
S = make_schedule(max_sigma=50)


def photo(name):
    return parity.make_input(name, tuple(PUBLISHED["shape"]))


def images(count=3):
    torch.manual_seed(0)
    return torch.rand(4, count, 3, 4, 5)


def assert_published(got, published):
    got = got.flatten()[PUBLISHED["at"]] if isinstance(published, list) else got
    np.testing.assert_allclose(
        got.double(), published, rtol=2e-4, atol=1e-6 if isinstance(published, list) else 0
    )


@pytest.mark.parametrize("t", [int(t) for t in PUBLISHED["steps"]])
def test_single_steps_are_the_published_ones(t):
    published, x0, lq = PUBLISHED["steps"][str(t)], photo("x0"), photo("mu")
    xt = sde.forward_mean(x0, lq, t, S)
    noise = 0.1 * xt * t / S.steps
    score, clean = sde.score(noise, t, S), sde.x0_from_noise(xt, lq, noise, t, S)
    ours = {
        "forward_mean": xt,
        "noise": noise,
        "score": score,
        "ode_step": sde.reverse_ode_step(xt, lq, score, t, S),
        "sde_step_mean": sde.reverse_sde_mean(xt, lq, score, t, S),
        "x0_from_noise": clean,
        "posterior_mean": sde.optimum_step(xt, clean, lq, t, S),
        "posterior_std": sde.posterior_std(t, S),
        "optimum_step_true_x0": sde.optimum_step(xt, x0, lq, t, S),
        "matching_loss_l1": sde.matching_loss(noise, xt, x0, lq, t, S),
        "forward_drift": sde.forward_drift(xt, lq, t, S),
        "dispersion_std": sde.dispersion_std(t, S),
    }
    assert ours.keys() == published.keys()
    for name, values in published.items():
        if (
            name == "matching_loss_l1"
        ):  # a mean of differences, at t = 1 of the last bits of float32
            np.testing.assert_allclose(ours[name], values, rtol=2e-4, atol=2e-8)
        else:
            assert_published(ours[name], values)


def test_times_of_a_batch_are_those_of_its_images():
    x0, lq, noise, xt = images()
    times = torch.tensor([1, 40, 100])
    functions = {
        "noisy": lambda t, i: sde.noisy_state(x0[i], lq[i], noise[i], t, S),
        "reverse": lambda t, i: sde.reverse_sde_mean(xt[i], lq[i], sde.score(noise[i], t, S), t, S),
        "ode": lambda t, i: sde.reverse_ode_step(xt[i], lq[i], sde.score(noise[i], t, S), t, S),
        "clean": lambda t, i: sde.x0_from_noise(xt[i], lq[i], noise[i], t, S),
        "optimum": lambda t, i: sde.optimum_step(xt[i], x0[i], lq[i], t, S),
        "std": lambda t, i: sde.posterior_std(t, S).expand(len(xt[i]), 1, 1, 1),
    }
    for name, function in functions.items():
        single = [function(int(t), slice(i, i + 1)) for i, t in enumerate(times)]
        torch.testing.assert_close(function(times, slice(None)), torch.cat(single), msg=name)


def test_the_clean_image_comes_back_from_its_noise():
    x0, lq, noise, _ = images()
    for t in (1, 10, 60):
        xt = sde.noisy_state(x0, lq, noise, t, S)
        torch.testing.assert_close(sde.x0_from_noise(xt, lq, noise, t, S), x0, atol=1e-4, rtol=1e-4)


def test_a_step_of_the_forward_sde_composes_to_the_closed_form():
    """x_{t-1} given x0, drifted on for one step, is x_t: B = A C.

    With small steps the drift is its first order.
    """
    fine = make_schedule(2000, "constant")
    x0, lq, _, _ = images()
    before = sde.forward_mean(x0, lq, 999, fine)
    after = before + sde.forward_drift(before, lq, 1000, fine)
    torch.testing.assert_close(after, sde.forward_mean(x0, lq, 1000, fine), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("t", [1, 2, 30, 100])
def test_the_posterior_is_that_of_the_gaussian_forward_process(t):
    """By Bayes: x_t = lq + A (x_{t-1} - lq) + noise of variance m²(1 - A²).

    x_{t-1} is distributed as N(forward_mean, sigma_bar²).
    """
    s = make_schedule(100, "linear", max_sigma=0.3)
    x0, lq, _, xt = (image.double() for image in images())
    theta, sums = s.theta.double(), s.theta_cumsum.double()
    pull = torch.exp(-(sums[t] - sums[t - 1]) * s.dt)
    noise, prior = (
        s.max_sigma**2 * (1 - pull**2),
        s.max_sigma**2 * (1 - torch.exp(-2 * sums[t - 1] * s.dt)),
    )
    gain = prior * pull / (pull**2 * prior + noise)
    mean = lq + (x0 - lq) * torch.exp(-sums[t - 1] * s.dt)
    expected = mean + gain * (xt - lq - pull * (mean - lq))
    assert theta[t] == pytest.approx(float(sums[t] - sums[t - 1]), rel=1e-3)
    torch.testing.assert_close(
        sde.optimum_step(xt, x0, lq, t, s).double(), expected, atol=1e-4, rtol=1e-3
    )
    spread = (prior * noise / (pull**2 * prior + noise)).sqrt()
    assert float(sde.posterior_std(t, s)) == pytest.approx(float(spread), rel=2e-3, abs=1e-6)


def test_the_loss_is_least_for_the_noise_that_leads_to_the_optimum_step():
    x0, lq, noise, _ = images()
    t = torch.tensor([5, 50, 95])
    xt = sde.noisy_state(x0, lq, noise, t, S)
    drifted = sde.reverse_sde_mean(xt, lq, torch.zeros_like(xt), t, S)
    per_noise = sde.reverse_sde_mean(xt, lq, sde.score(torch.ones_like(xt), t, S), t, S) - drifted
    best = (sde.optimum_step(xt, x0, lq, t, S) - drifted) / per_noise
    assert sde.matching_loss(best, xt, x0, lq, t, S) < 1e-6
    assert sde.matching_loss(noise, xt, x0, lq, t, S) < 0.1 * sde.matching_loss(
        -noise, xt, x0, lq, t, S
    )
    squared = sde.matching_loss(-noise, xt, x0, lq, t, S, torch.nn.functional.mse_loss)
    assert squared != sde.matching_loss(-noise, xt, x0, lq, t, S)


@pytest.mark.parametrize("t", [0, -1, 101, torch.tensor([1, 101, 5]), torch.tensor([0, 1, 2])])
def test_times_that_the_schedule_lacks_are_refused(t):
    _, lq, _, xt = images()
    with pytest.raises(ScheduleError, match="times 1 to 100"):
        sde.score(xt, t, S)
    with pytest.raises(ScheduleError, match="times"):
        sde.optimum_step(xt, xt, lq, t, S)


def test_the_forward_process_begins_at_the_clean_image():
    x0, lq, noise, _ = images()
    assert torch.allclose(sde.noisy_state(x0, lq, noise, 0, S), x0)
    with pytest.raises(ScheduleError, match="time 101 on a schedule with times 0 to 100"):
        sde.forward_mean(x0, lq, 101, S)


@pytest.mark.parametrize("t", [1, 50, 100])
def test_preconditioning_leaves_a_residual_of_unit_variance(t):
    """A network of zeros gives the best linear estimate; what it leaves is the network's target."""
    s = make_schedule(max_sigma=10)
    torch.manual_seed(0)
    lq, noise = torch.rand(2, 4, 3, 64, 64).double()
    noise = torch.randn_like(noise)
    x0 = lq + sde.CLEAN_STD * torch.randn_like(lq)
    xt = sde.noisy_state(x0, lq, noise, t, s)
    states = []

    def network(state):
        states.append(state - lq)
        return torch.zeros_like(state)

    estimate = sde.preconditioned(network, xt, lq, t, s)
    one = sde.preconditioned(torch.ones_like, xt, lq, t, s)
    residual = (noise - estimate) / (one - estimate)
    assert states[0].std().item() == pytest.approx(1, abs=0.02)
    assert residual.std().item() == pytest.approx(1, abs=0.02)
    # nothing that is linear in the state is left
    assert abs(torch.mean(residual * states[0])) < 0.02


@pytest.mark.parametrize("t", [1, 50, 100])
def test_every_time_counts_alike_in_the_loss_behind_preconditioning(t):
    s = make_schedule(max_sigma=10)
    torch.manual_seed(0)
    lq, x0 = torch.rand(2, 2, 3, 64, 64).double()
    x0 = lq + sde.CLEAN_STD * torch.randn_like(lq)
    xt = sde.noisy_state(x0, lq, torch.randn_like(lq), t, s)
    estimate = sde.preconditioned(torch.zeros_like, xt, lq, t, s)
    loss = sde.preconditioned_loss(estimate, xt, x0, lq, t, s).item()
    # The mean absolute value of a standard normal variable.
    assert loss == pytest.approx((2 / torch.pi) ** 0.5, abs=0.02)
    exact = (xt - sde.forward_mean(x0, lq, t, s)) / s.sigma_bar[t]
    assert sde.preconditioned_loss(exact, xt, x0, lq, t, s).item() == 0
