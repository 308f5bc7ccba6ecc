"""WxrModel in one process: each option does what it says, and nothing that it does not."""

import copy
import io
import logging
import math
import time

import cv2
import numpy as np
import pytest
import torch
import wxr_toys  # noqa: F401
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from rich.console import Console
from safetensors.torch import save_file

from wxr_plugin.checkpoint import load_state, load_weights
from wxr_plugin.errors import OptionError
from wxr_plugin.models.guard import NonFiniteError
from wxr_plugin.models.progress import ProgressBar, StepClock

PSNR = {"type": "calculate_psnr", "crop_border": 0}


@pytest.fixture
def options(tmp_path):
    """Options of a run in tmp_path, with changes to its `train` block and network."""

    def make(model="WxrModel", net=None, val=None, **train):
        sets = {f"val_{i}": {"phase": "val", **dataset} for i, dataset in enumerate(val or [])}
        return {
            "name": "run",
            "model_type": model,
            "num_gpu": 0,
            "is_train": True,
            "dist": False,
            "rank": 0,
            "world_size": 1,
            "manual_seed": 3,
            "path": {
                "experiments_root": str(tmp_path),
                "models": str(tmp_path / "models"),
                "training_states": str(tmp_path / "training_states"),
                "visualization": str(tmp_path / "visualization"),
            },
            "datasets": sets,
            "val": {"val_freq": 5, "save_img": False, "metrics": {"psnr": PSNR}},
            "logger": {"save_checkpoint_freq": 10, "print_freq": 1},
            "network_g": {"type": "ToyNet", "norm": False, "dropout": 0.0, **(net or {})},
            "train": {
                "total_iter": 20,
                "optim_g": {"type": "Adam", "lr": 1e-2},
                "scheduler": {"type": "MultiStepLR", "milestones": [3], "gamma": 0.5},
                "pixel_opt": {"type": "L1Loss"},
                **train,
            },
        }

    return make


@pytest.fixture
def build(options):
    def make(**settings):
        torch.manual_seed(0)
        return build_model(options(**settings))

    return make


def batches(count, size=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (size, 3, 12, 12)
    names = [[f"{i}_{j}.png" for j in range(size)] for i in range(count)]
    draw = lambda: torch.rand(shape, generator=generator)  # noqa: E731
    return [{"lq": draw(), "gt": draw(), "lq_path": name, "gt_path": name} for name in names]


def train(model, data, start=1, warmup=-1):
    rates = []
    for iteration, batch in enumerate(data, start):
        model.update_learning_rate(iteration, warmup)
        rates.append(model.get_current_learning_rate()[0])
        model.feed_data(batch)
        model.optimize_parameters(iteration)
    return rates


def everything(model):
    """Copies of all that a bad update could spoil."""
    nets = [model.net_g, *([model.net_g_ema] if hasattr(model, "net_g_ema") else [])]
    states = [net.state_dict() for net in nets] + [model.optimizer_g.state_dict()]
    return copy.deepcopy(states)


def assert_equal(one, two):
    assert type(one) is type(two)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_equal(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for a, b in zip(one, two):
            assert_equal(a, b)
    else:
        assert one == two


def poisoned(batch):
    return {**batch, "lq": batch["lq"] * math.nan}


def test_without_options_it_trains_as_the_host_does(build):
    ours, host = build(ema_decay=0.9), build(model="SRModel", ema_decay=0.9)
    train(ours, batches(6))
    train(host, batches(6))
    assert_equal(everything(ours), everything(host))
    assert ours.get_current_log().keys() - {"compute_time"} == host.get_current_log().keys()


def test_accumulating_two_batches_is_one_batch_of_both(build):
    small, large = build(accumulate=2), build()
    halves = batches(2)
    before = everything(small)
    train(small, halves[:1])
    assert_equal(everything(small), before)
    train(small, halves[1:], start=2)
    train(large, [{key: torch.cat([h[key] for h in halves]) for key in ("lq", "gt")}])
    for a, b in zip(small.net_g.parameters(), large.net_g.parameters()):
        assert torch.allclose(a.grad, b.grad, rtol=0, atol=1e-6) and b.grad.abs().max() > 1e-3


def test_accumulation_does_not_leak_into_the_next_update(build):
    model = build(accumulate=2)
    data = batches(4)
    train(model, data)
    last = [p.grad.clone() for p in model.net_g.parameters()]
    fresh = build(accumulate=2)
    train(fresh, data[:2])
    train(fresh, data[2:], start=3)
    assert_equal(last, [p.grad for p in fresh.net_g.parameters()])


def test_checkpoints_between_two_updates_are_refused(build):
    with pytest.raises(OptionError, match=r"save_checkpoint_freq is 10 and train.accumulate 3"):
        build(accumulate=3)


def test_clipping_limits_the_norm(build):
    clipped, free = build(clip_grad=0.01), build()
    for model in (clipped, free):
        train(model, batches(1))
    norms = [torch.nn.utils.get_total_norm([p.grad for p in m.net_g.parameters()]).item() for m in (clipped, free)]
    assert norms[0] == pytest.approx(0.01, rel=1e-3) and norms[1] > 0.02


@pytest.mark.parametrize(("amp", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_autocast_reaches_the_network_and_not_the_loss(build, amp, dtype):
    model, plain = build(amp=amp), build()
    seen = []
    model.net_g.body[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    train(model, batches(3))
    train(plain, batches(3))
    assert seen == [dtype] * 3 and model.output.dtype == torch.float32
    for a, b in zip(model.net_g.parameters(), plain.net_g.parameters()):
        assert a.dtype == torch.float32 and torch.allclose(a, b, atol=0.05) and not torch.equal(a, b)


def test_fp16_overflow_lowers_the_scale_and_is_no_fault(build):
    loss = {"type": "L1Loss", "loss_weight": 1e36}
    model = build(amp="fp16", pixel_opt=loss, nan_guard={"stop_after": 1}, ema_decay=0.9, model="ToyModel", trail=True)
    before, scale = everything(model), model.scaler.get_scale()
    train(model, batches(1))
    assert_equal(everything(model), before)
    assert model.scaler.get_scale() == scale / 2 and model.guard.skipped == 0


def test_channels_last_is_a_matter_of_memory_only(build):
    model, plain = build(channels_last=True, ema_decay=0.9), build(ema_decay=0.9)
    train(model, batches(3))
    train(plain, batches(3))
    weights = [model.net_g.body[0].weight, model.net_g_ema.body[0].weight, model.lq]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
    for a, b in zip(model.net_g.parameters(), plain.net_g.parameters()):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_compiling_changes_neither_names_nor_results(build, tmp_path):
    model, plain = build(compile={"backend": "aot_eager"}, ema_decay=0.9), build(ema_decay=0.9)
    train(model, batches(2))
    train(plain, batches(2))
    for a, b in zip(model.net_g.parameters(), plain.net_g.parameters()):
        assert torch.allclose(a, b, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    model.save(-1, -1)
    assert list(load_weights(tmp_path / "models/net_g_latest.pth")) == list(plain.net_g.state_dict())


def test_adamw_decays_weights(build):
    model = build(optim_g={"type": "AdamW", "lr": 1e-2, "weight_decay": 0.5})
    assert type(model.optimizer_g) is torch.optim.AdamW and not model.optimizer_g.defaults["fused"]
    before = model.net_g.body[0].weight.norm().item()
    train(model, [{"lq": torch.zeros(1, 3, 8, 8), "gt": torch.zeros(1, 3, 8, 8), "lq_path": ["a"]}] * 3)
    assert model.net_g.body[0].weight.norm().item() < before * 0.995


def test_cosine_ends_at_its_minimum_and_warmup_does_not_bend_it(build):
    cosine = {"type": "cosine", "eta_min": 1e-4}
    rates = train(build(scheduler=dict(cosine)), batches(21))
    expected = [1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * i / 20)) / 2 for i in range(21)]
    assert rates == pytest.approx(expected, rel=1e-6)
    warm = train(build(scheduler=dict(cosine)), batches(21), warmup=5)
    assert warm[:4] == pytest.approx([1e-2 * i / 5 for i in range(1, 5)]) and warm[4:] == pytest.approx(expected[4:])


def test_a_stepped_schedule_reaches_its_full_rate_after_warmup(build):
    rates = train(build(scheduler={"type": "MultiStepLR", "milestones": [8], "gamma": 0.5}), batches(10), warmup=4)
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, *[0.01] * 5, 0.005, 0.005])


def test_without_a_schedule_the_rate_is_constant(build, options):
    opt = options()
    del opt["train"]["scheduler"]
    assert train(build_model(opt), batches(5), warmup=3) == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.01])


def test_the_ema_takes_over_running_statistics(build):
    model = build(net={"norm": True}, ema_decay=0.9)
    train(model, batches(3))
    for name, value in model.net_g.named_buffers():
        assert torch.equal(model.net_g_ema.get_buffer(name), value)
    assert not torch.equal(model.net_g.body[0].weight, model.net_g_ema.body[0].weight)
    assert model.net_g_ema.body[1].num_batches_tracked == 3


def test_a_bad_batch_changes_nothing_and_is_counted(build, tmp_path, caplog):
    settings = {"net": {"norm": True}, "ema_decay": 0.9, "nan_guard": {"stop_after": 2}, "model": "ToyModel"}
    model = build(**settings, trail=True)
    good, bad, after = batches(3)
    train(model, [good])
    before = everything(model)
    logging.getLogger("basicsr").propagate = True
    train(model, [poisoned(bad)], start=2)
    assert_equal(everything(model), before)
    assert model.guard.skipped == model.guard.in_a_row == 1 == model.get_current_log()["dropped_updates"]
    assert "iteration 2" in caplog.text and "1_0.png, 1_1.png" in caplog.text
    train(model, [after], start=3)
    assert model.guard.skipped == 1 and model.guard.in_a_row == 0
    trail = [line.split()[0] for line in (tmp_path / "trail_0.txt").read_text().splitlines()]
    assert trail == ["1", "3"]
    assert math.isfinite(model.log_dict["l_pix"])


def test_training_stops_after_so_many_bad_batches_in_a_row(build):
    model = build(nan_guard={"stop_after": 2})
    train(model, map(poisoned, batches(1)))
    before = everything(model)
    with pytest.raises(NonFiniteError, match=r"iteration 7: .* images: 0_0.png, 0_1.png.*2 in a row"):
        train(model, map(poisoned, batches(1)), start=7)
    assert_equal(everything(model), before)
    with pytest.raises(NonFiniteError, match="1 in a row"):
        train(build(nan_guard={"skip": False}), map(poisoned, batches(1)))


def test_an_infinite_gradient_of_a_finite_loss_is_caught(build):
    model = build(nan_guard={}, pixel_opt={"type": "CharbonnierLoss", "eps": 0.0})
    before = everything(model)
    train(model, [{"lq": torch.zeros(1, 3, 8, 8), "gt": torch.zeros(1, 3, 8, 8), "lq_path": ["black.png"]}])
    if model.guard.skipped == 0:  # the bias makes the output differ from the target: force the tie
        with torch.no_grad():
            model.net_g.body[-1].bias.zero_()
            model.net_g.body[-1].weight.zero_()
        before = everything(model)
        train(model, [{"lq": torch.zeros(1, 3, 8, 8), "gt": torch.zeros(1, 3, 8, 8), "lq_path": ["black.png"]}], 2)
    assert math.isfinite(model.log_dict["l_pix"]) and model.guard.skipped == 1
    assert_equal(everything(model), before)


def test_one_bad_batch_drops_the_whole_window(build):
    model = build(accumulate=2, nan_guard={})
    before = everything(model)
    first, second = batches(2)
    train(model, [poisoned(first), second])
    assert_equal(everything(model), before)
    assert model.guard.skipped == 1


@pytest.fixture
def photos(tmp_path):
    """Two sets below tmp_path: pairs of odd sizes, and photos without ground truth."""
    generator = np.random.default_rng(0)
    for folder, count in (("gt", 3), ("lq", 3), ("real", 2)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            image = generator.integers(0, 256, (13 + i, 17, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / folder / f"photo{i}.png"), image)
    disk = {"io_backend": {"type": "disk"}, "scale": 1}
    pairs = {"name": "pairs", "type": "PairedImageDataset", "dataroot_gt": str(tmp_path / "gt"), **disk}
    pairs["dataroot_lq"] = str(tmp_path / "lq")
    real = {"name": "real", "type": "SingleImageDataset", "dataroot_lq": str(tmp_path / "real"), **disk}
    return pairs, real


def loaders(model):
    sets = model.opt["datasets"].values()
    return [build_dataloader(build_dataset(s), s, num_gpu=0, seed=None) for s in sets]


def test_validation_has_a_row_an_image_and_metrics_of_its_own_set(build, photos, tmp_path):
    pairs, real = photos
    pairs["metrics"] = {"psnr": PSNR, "ssim": {"type": "calculate_ssim", "crop_border": 0}}
    model = build(val=[pairs, real])
    for loader in loaders(model):
        model.validation(loader, 0, None, save_img=True)
    lines = (tmp_path / "validation/pairs.csv").read_text().splitlines()
    assert lines[0] == "iter,image,psnr,ssim"
    assert sorted(line.split(",")[1] for line in lines[1:]) == ["photo0", "photo1", "photo2"]
    psnr = [float(line.split(",")[2]) for line in lines[1:]]
    assert model.best_metric_results["pairs"]["psnr"] == {
        "better": "higher",
        "val": pytest.approx(np.mean(psnr)),
        "iter": 0,
    }
    assert "real" not in model.best_metric_results and not (tmp_path / "validation/real.csv").exists()
    assert cv2.imread(str(tmp_path / "visualization/real/photo1_0.png")).shape == (14, 17, 3)


def test_the_last_validation_bears_the_right_iteration_and_is_not_repeated(build, photos, tmp_path):
    model = build(val=photos[:1])
    (loader,) = loaders(model)
    train(model, batches(5))
    model.validation(loader, 5, None)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    model.validation(loader, 6, None)
    model.iteration = 7
    model.validation(loader, 9, None)
    assert torch.equal(torch.rand(1), expected), "validation must not draw from the run's generators"
    rows = [line.split(",")[0] for line in (tmp_path / "validation/pairs.csv").read_text().splitlines()[1:]]
    assert rows == ["5"] * 3 + ["7"] * 3


def test_rows_of_an_abandoned_run_are_replaced(build, photos, tmp_path):
    model = build(val=photos[:1])
    (loader,) = loaders(model)
    for iteration in (5, 10, 7):
        model.iteration = iteration
        model.validation(loader, iteration, None)
    rows = [line.split(",")[0] for line in (tmp_path / "validation/pairs.csv").read_text().splitlines()[1:]]
    assert rows == ["5"] * 3 + ["7"] * 3


def test_the_best_network_is_kept(build, photos, tmp_path):
    model = build(val=photos[:1], save_best={"dataset": "pairs", "metric": "psnr"}, ema_decay=0.5)
    (loader,) = loaders(model)
    scores = []
    for iteration, weight in ((1, 0.0), (2, 0.3), (3, 0.1)):
        with torch.no_grad():
            model.net_g_ema.body[-1].weight.fill_(weight)
        model.iteration = iteration
        model.validation(loader, iteration, None)
        scores.append(model.metric_results["psnr"])
    best = int(np.argmax(scores))
    saved = load_weights(tmp_path / "models/net_g_best.pth", "params_ema")
    assert model.best_metric_results["pairs"]["psnr"]["iter"] == best + 1
    assert torch.all(saved["body.4.weight"] == [0.0, 0.3, 0.1][best])


def test_save_best_must_name_a_metric_that_is_there(build, photos):
    with pytest.raises(
        OptionError, match=r"no metric 'lpips' of a validation set 'pairs'. Known: {'pairs': \['psnr'\]"
    ):
        build(val=photos[:1], save_best={"dataset": "pairs", "metric": "lpips"})


def test_only_the_newest_checkpoints_are_kept(build, tmp_path):
    model = build(keep=2)
    states, models = tmp_path / "training_states", tmp_path / "models"
    for iteration in (10, 20, 30):
        model.save(0, iteration)
    (states / "50.state").write_bytes(b"cut short")
    model.save_networks("best")
    model.save(0, 40)
    assert {p.name for p in states.iterdir()} == {"30.state", "40.state", "50.state"}
    assert {p.name for p in models.iterdir()} == {"net_g_30.pth", "net_g_40.pth", "net_g_best.pth"}
    assert load_state(states / "40.state")["iter"] == 40


def test_a_state_that_could_not_be_loaded_is_not_written(build, tmp_path):
    model = build(model="ToyModel")
    model.iteration = np.int64(4)
    with pytest.raises(TypeError, match=r"state\['extra'\]\['steps'\] is a numpy.int64"):
        model.save_training_state(0, 4)
    assert not list((tmp_path / "training_states").glob("*"))


def test_stock_basicsr_loads_what_is_saved_and_we_load_safetensors(build, options, tmp_path):
    model = build(ema_decay=0.9)
    train(model, batches(2))
    model.save(-1, -1)
    opt = options(model="SRModel", ema_decay=0.9)
    opt["path"]["pretrain_network_g"] = str(tmp_path / "models/net_g_latest.pth")
    host = build_model(opt)
    assert_equal(everything(host)[:2], everything(model)[:2])
    saved = load_state(opt["path"]["pretrain_network_g"])
    assert saved["network_g"] == {"type": "ToyNet", "norm": False, "dropout": 0.0}
    save_file(model.net_g.state_dict(), tmp_path / "net.safetensors")
    opt = options()
    opt["path"]["pretrain_network_g"] = str(tmp_path / "net.safetensors")
    assert_equal(everything(build_model(opt))[0], everything(model)[0])


def test_a_state_of_another_network_is_refused(build, tmp_path):
    build().save(0, 10)
    other = build(net={"width": 4})
    other.opt["path"]["resume_state"] = "10.state"
    with pytest.raises(Exception, match=r"10.state: a state of another network .*Give this run another `name`"):
        other.resume_training(load_state(tmp_path / "training_states/10.state"))


def test_the_bar_draws_on_a_terminal_only():
    logger = logging.getLogger("bar")
    assert ProgressBar.start(10, logger, Console(file=io.StringIO())) is None
    screen = io.StringIO()
    bar = ProgressBar.start(10, logger, Console(file=screen, force_terminal=True, width=120))
    bar.update(4, 0.25, 1e-3, 0.012, 0.34)
    assert list(bar.track([1, 2], 2, "validate pairs")) == [1, 2]
    bar.stop()
    bar.stop()
    assert "4/10" in screen.getvalue() and "loss 0.25" in screen.getvalue() and "compute 340 ms" in screen.getvalue()


def test_data_and_compute_time_are_told_apart():
    clock = StepClock()
    time.sleep(0.05)
    clock.batch()
    time.sleep(0.15)
    clock.done()
    time.sleep(0.2)  # a validation
    clock.wait()
    clock.batch()
    clock.done()
    data, compute = clock.read()
    assert 0.025 <= data < 0.06 and 0.075 <= compute < 0.11 and clock.read() == (0, 0)
