"""IRSDEModel: the matching loss in training, samples in validation."""

import csv
from pathlib import Path

import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from toy_option_files import problem_texts
from toy_training import assert_equal, batches, everything, train

from wxr_plugin.checkpoints.containers import load_network_options, load_state, load_weights
from wxr_plugin.conditioning.clip import build_clip
from wxr_plugin.conditioning.daclip import DaCLIP
from wxr_plugin.conditioning.guides import load_daclip
from wxr_plugin.errors import OptionError
from wxr_plugin.options import files as option_files
from wxr_plugin.sampling import sde
from wxr_plugin.sampling.noise import image_generator
from wxr_plugin.sampling.sampler import sample
from wxr_plugin.sampling.schedules import ScheduleError, make_schedule

REPOSITORY = Path(__file__).parents[2]
NET = {"type": "ConditionalUNet", "nf": 8, "ch_mult": [1, 2]}
SDE = {"steps": 10, "max_sigma": 25}


@pytest.fixture
def make(options):
    """Make an IRSDEModel with a small U-Net; `train` changes the block of that name."""

    def build(sampling=None, equation=None, network=None, guide=None, **train):
        opt = options(model="IRSDEModel", **{"ema_decay": 0.5, **train})
        opt["sde"] = SDE | (equation or {})
        opt["network_g"] = NET | (network or {})
        if guide:
            opt["guide"], opt["datasets"]["train"] = {"model": guide}, {"phase": "train"}
        opt["val"]["sampling"] = {"steps": 3, **(sampling or {})}
        torch.manual_seed(0)
        return build_model(opt)

    return build


def restored(model, lq):
    model.feed_data({"lq": lq})
    model.test()
    return model.output.clone()


def test_the_loss_is_the_matching_loss_at_even_times(make, monkeypatch):
    model, seen = make(), []
    whole = sde.matching_loss

    def spy(noise, xt, x0, lq, t, s, criterion):
        seen.append(t)
        loss = whole(noise, xt, x0, lq, t, s, criterion)
        torch.testing.assert_close(
            loss, whole(noise, xt, x0, lq, t, make_schedule(10, max_sigma=25))
        )
        return loss

    monkeypatch.setattr(sde, "matching_loss", spy)
    train(model, batches(8, size=32))
    times = torch.cat(seen)
    assert set(times.tolist()) == set(range(1, 11))
    assert times.float().mean() == pytest.approx(5.5, abs=0.6)


def test_training_learns_to_restore(make):
    """Of one image and its darkened copy, the network learns the way back."""
    model = make(
        {"steps": None, "method": "ode"}, optim_g={"type": "Adam", "lr": 3e-3}, ema_decay=0.9
    )
    gt = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).expand(4, -1, -1, -1)
    batch = {"lq": 0.3 * gt, "gt": gt, "lq_path": ["a"] * 4, "gt_path": ["a"] * 4}
    before = (restored(model, batch["lq"][:1]) - gt[:1]).abs().mean()
    model.schedulers.clear()
    train(model, [batch] * 150)
    after = (restored(model, batch["lq"][:1]) - gt[:1]).abs().mean()
    assert after < 0.5 * before


def test_seeds_repeat_a_training(make):
    one, other = make(), make()
    for model in (one, other):
        torch.manual_seed(5)
        train(model, batches(3))
    assert_equal(everything(one), everything(other))


@pytest.mark.parametrize("method", ["posterior", "sde", "ode"])
def test_validation_samples_with_the_averaged_network(make, method):
    model, lq = make({"method": method, "seed": 4}), torch.rand(2, 3, 12, 15)
    train(model, batches(2))
    expected = sample(
        lambda xt, time: model.net_g_ema(xt, lq, time),
        lq,
        make_schedule(3, max_sigma=25),
        method,
        train_steps=10,
        generator=[image_generator(image, 4) for image in lq],
    )
    assert torch.equal(restored(model, lq), expected)
    assert model.net_g.training


def test_preconditioning_is_the_same_in_training_and_in_validation(make, monkeypatch):
    """A network that knows the residual exactly gives the noise, and restores."""
    model = make({"steps": 10}, {"precondition": True, "max_sigma": 5})
    gt = torch.full((1, 3, 16, 16), 0.6)
    batch = {"lq": 0.5 * gt, "gt": gt, "lq_path": ["a"], "gt_path": ["a"]}
    schedule = model.schedule

    def perfect(net, state, lq, time, context):
        t = torch.as_tensor(time).long().reshape(-1)
        clean = sde.CLEAN_STD * torch.exp(-schedule.theta_cumsum[t] * schedule.dt)
        spread = schedule.sigma_bar[t]
        scale = (clean**2 + spread**2).sqrt().reshape(-1, 1, 1, 1)
        xt = lq + (state - lq) * scale
        spread, clean = spread.reshape(-1, 1, 1, 1), clean.reshape(-1, 1, 1, 1)
        noise = (xt - sde.forward_mean(gt, lq, t, schedule)) / spread
        return (noise - spread / scale**2 * (xt - lq)) * scale / clean

    for module in ("wxr_plugin.models.irsde_model", "wxr_plugin.inference.diffusion"):
        monkeypatch.setattr(f"{module}.predict", perfect)
    noise = torch.randn(3, 3, 16, 16)
    lq, t = batch["lq"].expand(3, -1, -1, -1), torch.tensor([1, 4, 10])
    xt = sde.noisy_state(gt, lq, noise, t, schedule)
    torch.testing.assert_close(model.predict_noise(xt, lq, t, None), noise, rtol=1e-3, atol=1e-3)
    assert (restored(model, batch["lq"]) - gt).abs().mean() < 0.01
    assert model.network_metadata()["sde"]["precondition"] is True


def test_a_sample_depends_on_the_seed_and_the_image_alone(make):
    images = torch.rand(3, 3, 12, 12)
    first = restored(make(), images)
    model = make()
    torch.rand(7)
    restored(model, torch.rand(1, 3, 12, 12))
    torch.testing.assert_close(restored(model, images[1:2])[0], first[1])
    assert not torch.allclose(restored(make({"seed": 1}), images), first)


def test_larger_images_are_sampled_in_tiles(make):
    lq = torch.rand(1, 3, 24, 40)
    whole, tiled = restored(make(), lq), restored(make({"tile": 16, "overlap": 8}), lq)
    assert tiled.shape == lq.shape
    assert not torch.equal(tiled, whole)


def test_validation_writes_a_row_an_image_and_repeats(make, photos, tmp_path):
    pairs, _ = photos
    loader = build_dataloader(
        dataset := build_dataset({**pairs, "phase": "val"}), dataset.opt, num_gpu=0
    )
    tables = []
    for label in (1, 2):
        model = make()
        model.iteration = label
        model.validation(loader, label, None)
        rows = csv.DictReader((tmp_path / "validation" / "pairs.csv").read_text().splitlines())
        tables.append([row["psnr"] for row in rows][-3:])
    assert tables[0] == tables[1]
    assert len(set(tables[0])) == 3


@pytest.fixture(scope="module")
def guide(tmp_path_factory) -> str:
    """A file with the packaged CLIP and a controller that is not trained."""
    file = tmp_path_factory.mktemp("guide") / "daclip.pth"
    torch.save({"state_dict": DaCLIP(*build_clip("tiny")).state_dict()}, file)
    return str(file)


def test_what_the_network_takes_is_handed_to_it_once_for_the_whole_image(make, guide):
    taken = {"nf": 32, "context": ["content", "degradation"], "context_dim": load_daclip(guide).dim}
    model, contexts = make({"tile": 16, "overlap": 4}, network=taken, guide=guide), []
    train(model, batches(1))
    image = torch.rand(1, 3, 24, 20)
    hook = lambda net, given: contexts.append(given[3])  # noqa: E731
    model.net_g_ema.register_forward_pre_hook(hook)
    restored(model, image)
    assert len(contexts) == 3 * 4  # steps and tiles
    for name in ("content", "degradation"):
        wanted = getattr(load_daclip(guide).embed(image), name)
        assert all(torch.equal(getattr(context, name), wanted) for context in contexts)


def test_a_network_that_takes_a_context_needs_a_guide(make):
    with pytest.raises(OptionError, match="takes a context of content, and no guide computes it"):
        make(network={"nf": 32, "context": ["content"]})


def test_more_steps_than_were_trained_are_refused_before_training(make):
    with pytest.raises(
        ScheduleError, match="takes 11 steps, but the network was trained on a schedule of 10"
    ):
        make({"steps": 11})


def test_a_perceptual_loss_is_refused(make):
    with pytest.raises(OptionError, match="perceptual_opt is not part"):
        make(perceptual_opt={"type": "PerceptualLoss", "layer_weights": {"conv1_1": 1}})


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (
            ("val", "sampling", "steps"),
            101,
            "takes 101 steps, but the network is trained on a schedule of 100",
        ),
        (("val", "sampling", "method"), "ddim", "ddim"),
        (("val", "sampling", "tiel"), 64, "did you mean tile"),
        (("sde", "schedule"), "cosin", "cosin"),
        (("sde", "T"), 100, "unknown key"),
    ],
)
def test_the_checker_knows_the_blocks(keys, value, words, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    opt = option_files.load(REPOSITORY / "options/tiny/irsde.yml")
    block = opt
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = value
    assert words in problem_texts(opt, tmp_path)[".".join(keys)]


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(make, tmp_path):
    data = batches(6)
    whole = make()
    torch.manual_seed(9)
    train(whole, data)
    first = make()
    torch.manual_seed(9)
    train(first, data[:3])
    first.save(0, 3)
    second = make()
    second.resume_training(load_state(tmp_path / "training_states" / "3.state"))
    train(second, data[3:], start=4)
    assert_equal(everything(second), everything(whole))


def test_a_checkpoint_knows_its_equation_and_its_network(make, tmp_path):
    make().save(0, 10)
    path = tmp_path / "models" / "net_g_10.pth"
    expected = SDE | {"schedule": "cosine", "eps": 0.005, "precondition": False}
    assert load_network_options(path, "sde") == expected
    assert load_network_options(path) == NET
    assert "init_conv.weight" in load_weights(path)
