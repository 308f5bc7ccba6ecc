"""PatchDDPMModel: the noise of patches in training, DDIM in overlapping patches in validation."""

from pathlib import Path

import pytest
import torch
from basicsr.models import build_model
from toy_option_files import problem_texts
from toy_training import assert_equal, batches, everything, train

from wxr_plugin.checkpoints.containers import load_network_options, load_state
from wxr_plugin.errors import OptionError
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.options import files as option_files
from wxr_plugin.sampling.noise import image_generator
from wxr_plugin.sampling.options import SamplingOptions
from wxr_plugin.sampling.patch_ddim import alpha_bars, sample_in_patches
from wxr_plugin.sampling.schedules import ScheduleError

REPOSITORY = Path(__file__).parents[2]
NET = {"type": "ConditionalUNet", "nf": 8, "ch_mult": [1, 2]}
"""Called as WeatherDiff is, and quicker."""


@pytest.fixture
def make(options):
    """Make a PatchDDPMModel with a small network; `train` changes the block of that name."""

    def build(sampling=None, ddpm=None, network=None, **train):
        opt = options(
            model="PatchDDPMModel",
            **{"ema_decay": 0.5, "patches": 3, "pixel_opt": {"type": "MSELoss"}, **train},
        )
        opt["ddpm"] = {"steps": 20, "patch": 8, **(ddpm or {})}
        opt["network_g"] = network or NET
        opt["val"]["sampling"] = {"steps": 4, "stride": 4, **(sampling or {})}
        torch.manual_seed(0)
        return build_model(opt)

    return build


def restored(model, lq):
    model.feed_data({"lq": lq})
    model.test()
    return model.output.clone()


def given(model, monkeypatch):
    """Return a list of the network's later inputs (xt, lq, time); its output becomes 0.5."""
    calls = []

    def answer(xt, lq, time):
        calls.append((xt, lq, time))
        return torch.full_like(xt, 0.5)

    monkeypatch.setattr(model, "predict_noise", answer)
    return calls


def losses(model, batch):
    model.feed_data(batch)
    return model.losses(1)


@pytest.fixture
def noises(monkeypatch):
    """The noise that is drawn."""
    drawn, draw = [], torch.randn_like
    monkeypatch.setattr(torch, "randn_like", lambda like: drawn.append(draw(like)) or drawn[-1])
    return drawn


def test_patches_of_both_images_lie_at_the_same_random_places(make, monkeypatch, noises):
    model = make()
    asked, bars, places = given(model, monkeypatch), alpha_bars(20), set()
    rows = torch.arange(144.0).reshape(1, 1, 12, 12).expand(2, 3, 12, 12) / 288
    lq = rows + torch.tensor([0.0, 0.5]).view(2, 1, 1, 1)  # distinguishes the photos
    for _ in range(40):
        losses(model, {"lq": lq, "gt": 1 - lq})
    for (state, patches, time), noise in zip(asked, noises, strict=True):
        assert patches.shape == (6, 3, 8, 8)
        assert [int(patch[0, 0, 0] >= 0.5) for patch in patches] == [0, 0, 0, 1, 1, 1]
        share = bars[time + 1].view(-1, 1, 1, 1)
        torch.testing.assert_close(
            state, share.sqrt() * (1 - 2 * patches) + (1 - share).sqrt() * noise
        )
        places |= {
            divmod(corner, 12)
            for corner in (patches[:, 0, 0, 0] % 0.5 * 288).round().int().tolist()
        }
    assert places == {(top, left) for top in range(5) for left in range(5)}


def test_all_times_are_drawn_in_mirrored_pairs(make, monkeypatch):
    model = make()
    asked = given(model, monkeypatch)
    for batch in batches(40):
        losses(model, batch)
    assert set(torch.cat([time for _, _, time in asked]).tolist()) == set(range(20))
    assert all(torch.equal(time[4:], 19 - time[:2]) for _, _, time in asked)


def test_the_loss_is_the_squared_error_of_the_noise(make, monkeypatch, noises):
    model = make()
    given(model, monkeypatch)
    loss = losses(model, batches(1)[0])
    assert loss["l_noise"].item() == pytest.approx(
        (noises[0] - 0.5).square().mean().item(), rel=1e-5
    )


def test_training_learns_to_restore(make):
    """Of photos of one colour and their dark copies, the network learns the way back."""
    model = make(
        {"stride": 4}, {"patch": 4}, optim_g={"type": "Adam", "lr": 5e-3}, ema_decay=0.9, patches=4
    )
    gt = torch.rand(4, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(4, 3, 4, 4)
    batch = {"lq": 0.3 * gt, "gt": gt, "lq_path": ["a"] * 4, "gt_path": ["a"] * 4}
    before = (restored(model, batch["lq"]) - gt).abs().mean()
    model.schedulers.clear()
    train(model, [batch] * 80)
    assert (restored(model, batch["lq"]) - gt).abs().mean() < 0.7 * before


def test_validation_samples_in_patches_with_the_averaged_network(make):
    model, lq = make({"seed": 4, "batch": 5}), torch.rand(2, 3, 12, 15)
    train(model, batches(2))
    generators = [image_generator(image, 4) for image in lq]
    expected = sample_in_patches(
        model.net_g_ema, lq, steps=4, patch=8, stride=4, train_steps=20, generator=generators
    )
    torch.testing.assert_close(restored(model, lq), expected)
    assert model.net_g.training


def test_weatherdiff_itself_trains(make):
    model = make(
        network={
            "type": "WeatherDiff",
            "ch": 32,
            "ch_mult": [1, 1],
            "num_res_blocks": 1,
            "image_size": 8,
        }
    )
    before = everything(model)[0]
    train(model, batches(1))
    after = everything(model)[0]
    assert all(
        not torch.equal(before[name], after[name])
        for name in before
        if name.endswith("conv1.weight")
    )


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(make, tmp_path):
    data, whole = batches(2), make()
    torch.manual_seed(9)
    train(whole, data)
    first = make()
    torch.manual_seed(9)
    train(first, data[:1])
    first.save(0, 1)
    second = make()
    second.resume_training(load_state(tmp_path / "training_states" / "1.state"))
    train(second, data[1:], start=2)
    assert_equal(everything(second), everything(whole))


def test_a_checkpoint_knows_its_diffusion_and_its_network(make, tmp_path):
    make().save(0, 10)
    path = tmp_path / "models" / "net_g_10.pth"
    assert load_network_options(path, "ddpm") == {"steps": 20, "patch": 8}
    assert load_network_options(path) == NET


def test_a_checkpoint_restores_photos_as_it_was_trained(make, tmp_path):
    model = make()
    train(model, batches(1))
    model.save(0, 1)
    restorer = Restorer.from_checkpoint(
        tmp_path / "models" / "net_g_1.pth", sampling=SamplingOptions(steps=4, seed=2)
    )
    lq = torch.rand(1, 3, 12, 15)
    generators = [image_generator(lq[0], 2)]
    expected = sample_in_patches(
        model.net_g_ema, lq, 4, patch=8, stride=8, train_steps=20, generator=generators
    )
    torch.testing.assert_close(restorer.restore_tensor(lq), expected.clamp(0, 1))
    with pytest.raises(ScheduleError, match="trained on a schedule of 20"):
        restorer.diffusion._replace(sampling=SamplingOptions(steps=21)).checked(same_noise=False)


def test_what_does_not_go_together_is_refused_before_training(make):
    with pytest.raises(
        ScheduleError, match="takes 21 steps, but the network was trained on a schedule of 20"
    ):
        make({"steps": 21})
    with pytest.raises(OptionError, match="stride 9 leaves gaps between patches of 8 pixels"):
        make({"stride": 9})
    with pytest.raises(OptionError, match="perceptual_opt is not part"):
        make(perceptual_opt={"type": "PerceptualLoss", "layer_weights": {"conv1_1": 1}})


def test_crops_smaller_than_a_patch_are_refused(make):
    with pytest.raises(OptionError, match="crops of 12x12 hold no patches of 16 pixels"):
        train(make(ddpm={"patch": 16}), batches(1))


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (
            ("val", "sampling", "steps"),
            1001,
            "takes 1001 steps, but the network is trained on 1000 (ddpm.steps)",
        ),
        (("val", "sampling", "stride"), 65, "leaves gaps between patches of 64 pixels"),
        (("datasets", "train", "gt_size"), 63, "holds no patch of 64 pixels"),
        (("train", "patchs"), 4, "did you mean patches"),
        (("ddpm", "T"), 100, "unknown key"),
    ],
)
def test_the_checker_knows_the_blocks(keys, value, words, tmp_path):
    opt = option_files.load(REPOSITORY / "options/train/baselines/weatherdiff.yml")
    block = opt
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = value
    assert words in problem_texts(opt, tmp_path)[".".join(keys)]
