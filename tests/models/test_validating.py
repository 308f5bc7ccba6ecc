"""Validation in one process: rows, means, labels, the best network."""

import logging

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.metrics import calculate_psnr
from basicsr.models import build_model
from basicsr.utils import get_root_logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter
from toy_training import batches, train

from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import OptionError
from wxr_plugin.models.base import val_metrics, val_records
from wxr_plugin.models.base.val_metrics import image_name
from wxr_plugin.models.base.val_table import by_group, means, write_rows
from wxr_plugin.utils.safe_paths import UnsafeNameError

PSNR = {"type": "calculate_psnr", "crop_border": 0}


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
    assert lines[0] == "iter,image,psnr,ssim,psnr_input,ssim_input"
    assert sorted(line.split(",")[1] for line in lines[1:]) == ["photo0", "photo1", "photo2"]
    psnr = [float(line.split(",")[2]) for line in lines[1:]]
    assert model.best_metric_results["pairs"]["psnr"] == {
        "better": "higher",
        "val": pytest.approx(np.mean(psnr)),
        "iter": 0,
    }
    assert (
        "real" not in model.best_metric_results and not (tmp_path / "validation/real.csv").exists()
    )
    assert cv2.imread(str(tmp_path / "visualization/real/photo1_0.png")).shape == (14, 17, 3)


@pytest.mark.parametrize("pbar", [True, False])
def test_a_bar_counts_the_images_if_it_is_asked_for(build, photos, capsys, pbar):
    # BasicSR's logger keeps the stderr of its first use.
    with capsys.disabled():
        model = build(val=[photos[0]])
    model.opt["val"]["pbar"] = pbar
    (loader,) = loaders(model)
    model.validation(loader, 0, None)
    captured = capsys.readouterr()
    count = len(loader)
    assert (f"{count}/{count}" in captured.err) is pbar and captured.out == ""


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
    assert torch.equal(torch.rand(1), expected), (
        "validation must not draw from the run's generators"
    )
    rows = [
        line.split(",")[0]
        for line in (tmp_path / "validation/pairs.csv").read_text().splitlines()[1:]
    ]
    assert rows == ["5"] * 3 + ["7"] * 3


def test_rows_of_an_abandoned_run_are_replaced(build, photos, tmp_path):
    model = build(val=photos[:1])
    (loader,) = loaders(model)
    for iteration in (5, 10, 7):
        model.iteration = iteration
        model.validation(loader, iteration, None)
    rows = [
        line.split(",")[0]
        for line in (tmp_path / "validation/pairs.csv").read_text().splitlines()[1:]
    ]
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
        OptionError,
        match=r"no metric 'lpips' of a validation set 'pairs'. Known: {'pairs': \['psnr'\]",
    ):
        build(val=photos[:1], save_best={"dataset": "pairs", "metric": "lpips"})


def test_testing_writes_a_table_too(build, options, photos, tmp_path):
    opt = options(val=photos)
    opt |= {"is_train": False, "val": {**opt["val"], "suffix": None}}
    opt["path"] = {
        "results_root": str(tmp_path / "results"),
        "visualization": str(tmp_path / "results/visualization"),
    }
    del opt["train"]
    model = build_model(opt)
    for loader in loaders(model):
        model.validation(loader, "run", None, save_img=True)
    lines = (tmp_path / "results/validation/pairs.csv").read_text().splitlines()
    assert len(lines) == 4 and all(line.startswith("run,photo") for line in lines[1:])
    assert (tmp_path / "results/visualization/real/photo0_run.png").exists()


def test_tensorboard_hears_of_every_metric(build, photos, tmp_path):
    model = build(val=photos[:1])
    (loader,) = loaders(model)
    with SummaryWriter(tmp_path / "tb") as writer:
        model.validation(loader, 0, writer)
    (events,) = (tmp_path / "tb").iterdir()
    assert b"metrics/pairs/psnr" in events.read_bytes()


@pytest.mark.parametrize(
    ("path", "dataset", "name"),
    [
        ("/d/lq/a/x.png", {"dataroot_lq": "/d/lq", "dataroot_gt": "/d/gt"}, "a/x"),
        ("d/lq/x.v2.jpg", {"dataroot_lq": "d/lq"}, "x.v2"),
        ("/a/in/x.png", {"dataroot": {"rain": "/a/in", "snow": "/b/in"}}, "rain/x"),
        ("/b/in/x.png", {"dataroot": {"rain": "/a/in", "snow": "/b/in"}}, "snow/x"),
        ("photo.v2", {"dataroot_lq": "/d/lq.lmdb"}, "photo.v2"),
        ("/elsewhere/x.png", {"dataroot_lq": "/d/lq"}, "x"),
        ("/d/lq/../other/x.png", {"dataroot_lq": "/d/lq"}, "x"),
        ("d/../lq/x.png", {"dataroot_lq": "d/../lq"}, "x"),
    ],
)
def test_images_have_short_names_that_differ(path, dataset, name):
    assert image_name(path, dataset) == name


@pytest.mark.parametrize("key", ["../../../outside", "/outside", "..\\..\\outside"])
def test_no_key_leads_a_written_image_out_of_its_folder(key, build, tmp_path):
    model = build()
    with pytest.raises(UnsafeNameError, match="give it another name"):
        model.validator.image_path("set", key, 1)
    with pytest.raises(UnsafeNameError):
        model.validator.image_path("../../set", "image", 1)
    assert (
        model.validator.image_path("set", "rain/a", 1)
        == tmp_path / "visualization/set/rain/a_1.png"
    )


def test_a_new_metric_gets_a_column(tmp_path):
    write_rows(tmp_path / "a.csv", [{"iter": 9, "image": "x", "psnr": 1.5}])
    write_rows(tmp_path / "a.csv", [{"iter": 10, "image": "x", "psnr": 2.5, "ssim": 0.5}])
    assert (tmp_path / "a.csv").read_text() == "iter,image,psnr,ssim\n9,x,1.5,\n10,x,2.5,0.5\n"


def test_means_do_not_depend_on_the_order():
    rows = [{"psnr": value} for value in (1e16, 1.0, -1e16, 3.0)]
    assert means(rows, ["psnr"]) == means(rows[::-1], ["psnr"]) == {"psnr": 1.0}


def test_the_overall_is_the_unweighted_mean_over_weathers():
    values = {
        "rain": [1.0, 2.0, 3.0],
        "haze": [10.0],
        "snow": [4.0, 6.0],
        "clear": [100.0],
        "": [50.0],
    }
    rows = [
        {"weather": weather, "iqa": value} for weather, group in values.items() for value in group
    ]
    averages = by_group(rows, ["iqa"])
    assert averages == {
        "iqa_rain": 2.0,
        "iqa_haze": 10.0,
        "iqa_snow": 5.0,
        "iqa_overall": pytest.approx(17 / 3),
    }
    assert by_group([row for row in rows if row["weather"] in ("rain", "clear")], ["iqa"]) == {}


def test_the_overall_of_the_paper():
    means_of_sets = {
        "rain": 59.80,
        "haze": 56.09,
        "snow": 62.12,
    }  # MUSIQ of "Our method", WResVLM's main table
    rows = [{"weather": weather, "musiq": value} for weather, value in means_of_sets.items()]
    assert by_group(rows, ["musiq"])["musiq_overall"] == pytest.approx(59.34, abs=0.005)


def test_what_a_metric_refuses_does_not_count():
    assert means([{"iqa": 1.0}, {"iqa": float("nan")}, {"iqa": 3.0}], ["iqa"]) == {"iqa": 2.0}
    assert np.isnan(means([{"iqa": float("nan")}], ["iqa"])["iqa"])


def test_photos_of_several_weathers_are_summed_up_by_weather(build, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("rain/a", "rain/b", "snow/a"):
        write_image(
            tmp_path / "wild" / f"{name}.png", rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        )
    wild = {
        "name": "wild",
        "phase": "val",
        "type": "RealWeatherDataset",
        "dataroot": str(tmp_path / "wild"),
    }
    model = build(
        val=[
            {
                **wild,
                "metrics": {"iqa": {"type": "calculate_iqa", "metric": "piqe", "better": "lower"}},
            }
        ],
        save_best={"dataset": "wild", "metric": "iqa_overall"},
    )
    (loader,) = loaders(model)
    model.validation(loader, 0, None)
    best = model.best_metric_results["wild"]
    assert (
        list(best) == ["iqa", "iqa_rain", "iqa_snow", "iqa_overall"]
        and best["iqa_overall"]["better"] == "lower"
    )
    assert best["iqa_overall"]["val"] == pytest.approx(
        (best["iqa_rain"]["val"] + best["iqa_snow"]["val"]) / 2
    )
    assert (
        (tmp_path / "validation/wild.csv")
        .read_text()
        .startswith("iter,image,weather,iqa,iqa_input\n0,rain/a,rain,")
    )
    assert (tmp_path / "models/net_g_best.pth").is_file()


def test_a_best_network_by_a_metric_that_the_set_does_not_have_is_refused(build, photos):
    model = build(val=photos[:1], save_best={"dataset": "pairs", "metric": "psnr_overall"})
    (loader,) = loaders(model)
    with pytest.raises(OptionError, match="pairs has no metric 'psnr_overall', but psnr"):
        model.validation(loader, 0, None)


@pytest.fixture
def said(caplog):
    """Gives the lines of BasicSR's log, which does not propagate."""
    logger = get_root_logger()
    logger.addHandler(caplog.handler)
    level, _ = logger.level, logger.setLevel(logging.INFO)
    yield lambda: "\n".join(record.message for record in caplog.records)
    logger.setLevel(level)
    logger.removeHandler(caplog.handler)


def psnr_of(one, other):
    return calculate_psnr(cv2.imread(str(one)), cv2.imread(str(other)), crop_border=0)


def test_the_inputs_metric_stands_beside_the_networks(build, photos, tmp_path, said):
    model = build(val=photos[:1])
    (loader,) = loaders(model)
    with SummaryWriter(tmp_path / "tb") as writer:
        for iteration in (1, 2):
            model.iteration = iteration
            model.validation(loader, iteration, writer)
    expected = [
        psnr_of(tmp_path / f"lq/photo{i}.png", tmp_path / f"gt/photo{i}.png") for i in range(3)
    ]
    assert model.records.inputs.results["pairs"] == {"psnr": pytest.approx(np.mean(expected))}
    network = model.metric_results["psnr"]
    note = " (better than the network)" if network < np.mean(expected) - 1e-3 else ""
    assert f"# psnr: {network:.4f}\tInput: {np.mean(expected):.4f}{note}\tBest:" in said()
    lines = (tmp_path / "validation/pairs.csv").read_text().splitlines()
    for line in lines[1:]:
        assert float(line.split(",")[-1]) == pytest.approx(expected[int(line.split(",")[1][-1])])
    assert len(lines) == 7
    (events,) = (tmp_path / "tb").iterdir()
    assert b"metrics/pairs/psnr_input" in events.read_bytes()


def test_a_network_that_is_worse_than_nothing_is_said_to_be(build, photos, said):
    model = build(val=photos[:1])
    with torch.no_grad():
        model.net_g.body[-1].weight.fill_(9.0)
    (loader,) = loaders(model)
    model.validation(loader, 0, None)
    assert "(better than the network)" in said()


def test_the_input_is_measured_once_a_run(build, photos, monkeypatch):
    calls = []
    monkeypatch.setattr(
        val_metrics, "measure", lambda lq, *rest: calls.append(lq.shape) or {"psnr": 1.0}
    )
    model = build(val=photos[:1])
    (loader,) = loaders(model)
    for iteration in (1, 2, 3):
        model.iteration = iteration
        model.validation(loader, iteration, None)
    assert len(calls) == 3


def images_of(folder):
    """Tag -> shape of the pictures in a TensorBoard folder, and tag -> values of its scalars."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    pictures = {tag: events.Images(tag)[-1] for tag in events.Tags()["images"]}
    return {tag: (picture.height, picture.width) for tag, picture in pictures.items()}


@pytest.mark.parametrize(("count", "tags"), [(None, [0, 1, 2]), (2, [0, 2]), (0, [])])
def test_tensorboard_gets_input_result_and_ground_truth_side_by_side(
    build, options, photos, tmp_path, count, tags
):
    opt = options(val=photos[:1])
    opt["val"] |= {} if count is None else {"pictures": count}
    model = build_model(opt)
    (loader,) = loaders(model)
    with SummaryWriter(tmp_path / "tb") as writer:
        model.validation(loader, 0, writer)
    assert images_of(tmp_path / "tb") == {
        f"validation/pairs/photo{i}": (13 + i, 3 * 17) for i in tags
    }


def test_pictures_show_their_photos_and_large_ones_are_made_smaller():
    lq, result, gt = (
        torch.zeros(1, 3, 4, 6),
        torch.full((1, 3, 8, 12), 0.5),
        torch.ones(1, 3, 8, 12),
    )
    picture = val_records.strip([lq, result, gt])
    assert picture.shape == (8, 36, 3) and [picture[0, column, 0] for column in (0, 12, 24)] == [
        0,
        128,
        255,
    ]
    assert val_records.strip([torch.zeros(1, 3, 300, 1024)] * 2).shape == (150, 1024, 3)
