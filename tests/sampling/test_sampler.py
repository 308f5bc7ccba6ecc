import json
from pathlib import Path

import numpy as np
import parity
import pytest
import torch

from wxr_plugin.sampling import sampler, sde
from wxr_plugin.sampling.noise import image_generator, normal_like
from wxr_plugin.sampling.sampler import METHODS, sample
from wxr_plugin.sampling.schedules import ScheduleError, make_schedule

PUBLISHED = json.loads((Path(__file__).parents[1] / "parity" / "irsde_sampler.json").read_text())
S = make_schedule(max_sigma=50)


def photo(name):
    return parity.make_input(name, tuple(PUBLISHED["shape"]))


def oracle(x0, lq, schedule, train_steps=None):
    """Return a perfect network, which predicts the noise in a state of the clean image `x0`."""

    def predict(xt, time):
        t = round(time * schedule.steps / (train_steps or schedule.steps))
        return (xt - sde.forward_mean(x0, lq, t, schedule)) / schedule.sigma_bar[t]

    return predict


def test_the_ode_chain_is_the_published_one():
    got = sample(lambda x, t: 0.1 * x * t / S.steps, photo("mu"), S, "ode", start=photo("xT"))
    np.testing.assert_allclose(got.flatten()[PUBLISHED["at"]], PUBLISHED["ode_chain"], rtol=2e-4)


def test_the_posterior_chain_is_the_published_one_without_its_noise(monkeypatch):
    monkeypatch.setattr(
        "wxr_plugin.sampling.sampler.normal_like", lambda x, generator: torch.zeros_like(x)
    )
    got = sample(lambda x, t: 0.1 * x * t / S.steps, photo("mu"), S, start=photo("xT"))
    np.testing.assert_allclose(
        got.flatten()[PUBLISHED["at"]], PUBLISHED["posterior_mean_chain"], rtol=2e-4
    )


def test_a_step_of_the_sde_adds_noise_of_its_dispersion(monkeypatch):
    """The noise is sigma_t sqrt(dt) z, equation 2 of the paper discretised; z is fixed here."""
    fixed = torch.linspace(-2, 2, 192).reshape(1, 3, 8, 8)
    chains = {}
    for name, z in (("quiet", torch.zeros_like(fixed)), ("noisy", fixed)):
        monkeypatch.setattr("wxr_plugin.sampling.sampler.normal_like", lambda x, generator, z=z: z)
        chains[name] = sampler.STEPS["sde"](photo("xT"), photo("mu"), photo("x0"), 40, S, None)
    std = float(S.sigma[40]) * S.dt**0.5
    torch.testing.assert_close(chains["noisy"], chains["quiet"] - std * fixed)
    assert (
        std
        == pytest.approx(float(sde.dispersion_std(40, S)))
        != pytest.approx(float(sde.posterior_std(40, S)))
    )


@pytest.mark.parametrize(("method", "close"), [("posterior", 1e-4), ("sde", 0.02), ("ode", 0.02)])
def test_with_perfect_noise_the_clean_image_comes_back(method, close):
    x0, lq = photo("x0"), photo("mu")
    generator = torch.Generator().manual_seed(0)
    assert (sample(oracle(x0, lq, S), lq, S, method, generator=generator) - x0).abs().max() < close


@pytest.mark.parametrize("steps", [1, 4, 10, 33])
def test_fewer_steps_stride_over_the_times_of_training(steps):
    x0, lq, seen = photo("x0"), photo("mu"), []
    schedule = make_schedule(steps, max_sigma=50)

    def predict(xt, time):
        seen.append(time)
        return oracle(x0, lq, schedule, 100)(xt, time)

    restored = sample(
        predict, lq, schedule, train_steps=100, generator=torch.Generator().manual_seed(0)
    )
    assert seen == pytest.approx([100 * t / steps for t in range(steps, 0, -1)])
    assert (restored - x0).abs().max() < 1e-3


def test_more_steps_than_the_network_was_trained_for_are_refused():
    with pytest.raises(
        ScheduleError, match="takes 100 steps, but the network was trained on a schedule of 50"
    ):
        sample(lambda x, t: x, photo("mu"), S, train_steps=50)
    with pytest.raises(ScheduleError, match="'ddim'; there are posterior, sde, ode"):
        sample(lambda x, t: x, photo("mu"), S, "ddim")


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_decides_the_sample(method):
    lq, schedule = photo("mu"), make_schedule(5)
    runs = [
        sample(lambda x, t: x, lq, schedule, method, generator=image_generator(lq[0], seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.allclose(runs[0], runs[2])


def test_an_image_has_its_noise_in_any_batch():
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    schedule = make_schedule(5)

    def run(lq):
        return sample(
            lambda x, t: x - 0.5,
            lq,
            schedule,
            generator=[image_generator(image, 7) for image in lq],
        )

    together = run(images)
    for index in (2, 0):
        torch.testing.assert_close(run(images[index : index + 1])[0], together[index])
    with pytest.raises(ValueError, match="1 generators for 3 images"):
        sample(lambda x, t: x, images, schedule, generator=[torch.Generator()])


def test_noise_follows_from_seed_and_pixels():
    image = torch.rand(3, 6, 6)
    draws = {
        "same": (image, 3),
        "other seed": (image, 4),
        "other pixels": (image.flip(0), 3),
    }
    drawn = {
        name: normal_like(image[None], image_generator(*seeded)) for name, seeded in draws.items()
    }
    assert torch.equal(drawn["same"], normal_like(image[None], image_generator(image.clone(), 3)))
    assert not torch.equal(drawn["same"], drawn["other seed"])
    assert not torch.equal(drawn["same"], drawn["other pixels"])


def test_the_start_is_the_degraded_image_with_noise_of_max_sigma():
    lq, states = torch.rand(1, 3, 64, 64), []
    torch.manual_seed(0)
    sample(lambda x, t: states.append(x) or torch.zeros_like(x), lq, make_schedule(3, max_sigma=25))
    noise = states[0] - lq
    assert float(noise.std()) == pytest.approx(25 / 255, rel=0.05)
    assert abs(float(noise.mean())) < 0.01


def test_progress_sees_every_step():
    seen = []
    sample(
        lambda x, t: x,
        photo("mu"),
        make_schedule(4),
        progress=lambda times: (seen.append(t) or t for t in times),
    )
    assert seen == [4, 3, 2, 1]
