"""DaCLIPModel on the packaged tiny CLIP: learning, saving, validation and bit-equal resuming."""

import csv
import math

import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.models import build_model
from test_resume import differences
from toy_runs import finish, start

from wxr_plugin import train as train_command
from wxr_plugin.checkpoints.containers import load_state
from wxr_plugin.conditioning.guides import load_daclip
from wxr_plugin.data.caption_dataset import CaptionedDegradationDataset
from wxr_plugin.data.caption_table import CaptionRow, write_table
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import OptionError
from wxr_plugin.models.daclip_model import decay_groups

WORDS = ("hazy", "noisy", "low-light")
METRICS = {
    "accuracy": {"type": "calculate_degradation_accuracy"},
    "retrieval": {"type": "calculate_caption_retrieval"},
}


def photo(seed, word):
    """Blobs of colour under a veil, with grain, or dark."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((4, 4, 3)).repeat(16, 0).repeat(16, 1)
    if word == "hazy":
        coarse = 0.2 * coarse + 0.7
    elif word == "noisy":
        coarse = coarse + rng.normal(0, 0.3, coarse.shape)
    else:
        coarse = 0.15 * coarse
    return np.uint8(255 * coarse.clip(0, 1))


def write_set(folder, count):
    rows = []
    for seed in range(count):
        for word in WORDS:
            write_image(folder / word / f"{seed}.png", photo(seed, word))
            rows.append(CaptionRow(f"{word}/{seed}.png", f"a photo of thing {seed}", word))
    write_table(folder / "captions.csv", rows)
    return {
        "type": "CaptionedDegradationDataset",
        "captions": str(folder / "captions.csv"),
        "size": 128,
    }


@pytest.fixture
def files(tmp_path):
    """Options of a run on eight photos under three degradations, validated on two others."""

    def write(name="run", metrics=METRICS, **changes):
        sets = {
            "train": {"name": "train", **write_set(tmp_path / "train", 8), "num_worker_per_gpu": 0},
            "val": {"name": "held", **write_set(tmp_path / "held", 2)},
        }
        sets["train"]["batch_size_per_gpu"] = 6
        options = {
            "name": name,
            "model_type": "DaCLIPModel",
            "scale": 1,
            "num_gpu": 0,
            "manual_seed": 7,
            "datasets": sets,
            "network_g": {"type": "DaCLIP", "clip": "tiny"},
            "path": {},
            "train": {
                "total_iter": 4,
                "warmup_iter": 2,
                "optim_g": {
                    "type": "AdamW",
                    "lr": 1e-3,
                    "betas": [0.9, 0.98],
                    "weight_decay": 0.05,
                },
                "scheduler": {"type": "CosineAnnealingLR"},
                **changes,
            },
            "val": {"val_freq": 2, "save_img": False, "metrics": metrics},
            "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": False},
        }
        path = tmp_path / f"{name}.yml"
        path.write_text(yaml.safe_dump(options))
        return path

    return write


def run(path, root, *more):
    return train_command.main(["-opt", str(path), "--root", str(root), *more])


@pytest.mark.slow
def test_a_run_trains_measures_saves_and_resumes_to_the_bit(files, tmp_path):
    """Three batches an epoch, so the checkpoint of iteration 2 lies within one."""
    best = {"dataset": "held", "metric": "accuracy"}
    straight = files(save_best=best)
    assert run(straight, tmp_path / "straight") == 0
    # a cosine depends on total_iter, so the first half is cut off by taking its state away
    assert run(straight, tmp_path / "half") == 0
    folder = tmp_path / "half/experiments/run"
    (folder / "training_states/4.state").unlink()
    assert run(straight, tmp_path / "half", "--auto_resume") == 0
    states = [
        load_state(tmp_path / place / "experiments/run/training_states/4.state")
        for place in ("straight", "half")
    ]
    assert (
        differences(*states) == []
        and {"accuracy", "retrieval", "accuracy_hazy"} < states[0]["best"]["held"].keys()
    )

    models = tmp_path / "straight/experiments/run/models"
    saved = torch.load(models / "net_g_4.pth", weights_only=True)
    assert saved.keys() == {"state_dict", "network_g"} and (models / "net_g_best.pth").is_file()
    guide = load_daclip(str(models / "net_g_4.pth"), "cpu")
    start = build_network({"type": "DaCLIP", "clip": "tiny"}).state_dict()
    moved = {key for key in start if not torch.equal(saved["state_dict"][key], start[key])}
    assert "visual_control.zero_modules.0.weight" in moved and "logit_scale" in moved
    assert not any(key.startswith(("clip.", "visual.")) or "running" in key for key in moved)
    with open(tmp_path / "straight/experiments/run/validation/held.csv") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 2 * 6
    last = [row for row in rows if row["iter"] == "4"]
    own = validated(guide, tmp_path / "held")
    assert [float(row["accuracy"]) for row in last] == own
    assert [row["image"] for row in last] == [f"{word}/{i}" for i in range(2) for word in WORDS]
    assert (
        states[0]["best"]["held"]["accuracy"]["iter"] == 2
    )  # a state is written before its own validation


@pytest.mark.slow
def test_two_processes_train_and_validate_together(files, tmp_path):
    """Each rank has half of a batch; both validate, and the table has every photo once."""
    log = finish(start(tmp_path / "two", files(total_iter=2), processes=2), tmp_path / "two")
    assert "l_content" in log
    root = tmp_path / "two/experiments/run"
    with open(root / "validation/held.csv") as table:
        images = [row["image"] for row in csv.DictReader(table)]
    assert sorted(images) == sorted(f"{word}/{i}" for i in range(2) for word in WORDS)
    assert load_daclip(str(root / "models/net_g_2.pth"), "cpu").dim == 64


def validated(guide, folder):
    """Return 1.0 for each photo whose degradation `classify` of the guide names correctly."""
    block = {"name": "held", "type": "CaptionedDegradationDataset", "phase": "val", "size": 128}
    items = CaptionedDegradationDataset({**block, "captions": str(folder / "captions.csv")})
    places = [int(guide.classify(items[i]["lq"][None]).argmax()) for i in range(len(items))]
    return [float(DEGRADATIONS[best] == items[i]["degradation"]) for i, best in enumerate(places)]


@pytest.fixture
def model(tmp_path):
    def build(metrics=METRICS, data=None, **train):
        torch.manual_seed(0)
        paths = {"experiments_root": tmp_path, "models": tmp_path / "models"}
        return build_model(
            {
                "name": "run",
                "model_type": "DaCLIPModel",
                "num_gpu": 0,
                "is_train": True,
                "dist": False,
                "rank": 0,
                "world_size": 1,
                "manual_seed": 3,
                "path": {key: str(path) for key, path in paths.items()}
                | {"training_states": str(tmp_path)},
                "datasets": {
                    "val": {"name": "held", "phase": "val"},
                    **({"train": {"type": data}} if data else {}),
                },
                "val": {"val_freq": 5, "save_img": False, "metrics": metrics},
                "logger": {"save_checkpoint_freq": 10, "print_freq": 1},
                "network_g": {"type": "DaCLIP", "clip": "tiny"},
                "train": {
                    "total_iter": 20,
                    "optim_g": {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.05},
                    "scheduler": {"type": "CosineAnnealingLR"},
                    **train,
                },
            }
        )

    return build


def batch():
    views = [photo(seed, word)[:64, :64] for seed in range(2) for word in WORDS]
    images = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2) / 255
    captions = [f"a photo of thing {seed}" for seed in range(2) for _ in WORDS]
    return {
        "lq": images,
        "caption": captions,
        "degradation": [*WORDS, *WORDS],
        "lq_path": ["x.png"] * 6,
    }


def steps(model, count):
    logs = []
    for iteration in range(1, count + 1):
        model.feed_data(batch())
        model.optimize_parameters(iteration)
        logs.append(model.get_current_log())
    return logs


def test_both_losses_fall(model):
    logs = steps(model(), 8)
    assert (
        logs[-1]["l_degradation"] < 0.8 * logs[0]["l_degradation"]
        and logs[-1]["l_content"] < logs[0]["l_content"]
    )


def test_the_logit_scale_stays_in_its_bounds(model):
    trained = model(ema_decay=0.5)
    for net in (trained.net_g, trained.net_g_ema):
        net.logit_scale.data.fill_(9.0)
    steps(trained, 1)
    assert all(
        net.logit_scale.item() == pytest.approx(math.log(100))
        for net in (trained.net_g, trained.net_g_ema)
    )


def test_weight_decay_leaves_vectors_norms_and_the_scale_alone(model):
    trained = model()
    free, decayed = trained.optimizer_g.param_groups
    assert free["weight_decay"] == 0 and decayed["weight_decay"] == 0.05
    names = {id(weights): name for name, weights in trained.net_g.named_parameters()}
    assert {"logit_scale", "visual_control.bn1.weight"} < {names[id(p)] for p in free["params"]}
    assert "visual_control.layer1.0.conv1.weight" in {names[id(p)] for p in decayed["params"]}
    assert len(free["params"]) + len(decayed["params"]) == sum(
        p.requires_grad for p in trained.net_g.parameters()
    )
    matrix = torch.nn.Parameter(torch.ones(2, 2))
    assert [
        len(g["params"]) for g in decay_groups([("ln_1.weight", matrix), ("proj", matrix)], 0.1)
    ] == [1, 1]


def test_autocast_reaches_the_towers_and_not_the_loss(model):
    trained, seen = model(amp="bf16"), []
    trained.net_g.visual_control.zero_modules[0].register_forward_hook(
        lambda m, i, out: seen.append(out.dtype)
    )
    trained.cri_pix.register_forward_hook(lambda m, i, out: seen.append(out[0].dtype))
    steps(trained, 1)
    assert seen == [torch.bfloat16, torch.float32]


def test_the_average_is_what_is_saved(model, tmp_path):
    trained = model(ema_decay=0.9)
    steps(trained, 2)
    trained.save_networks(2)
    saved = torch.load(tmp_path / "models/net_g_2.pth", weights_only=True)
    average = trained.net_g_ema.state_dict()
    assert all(torch.equal(value, average[key]) for key, value in saved["state_dict"].items())
    loaded = model()
    loaded.load_network(loaded.net_g, str(tmp_path / "models/net_g_2.pth"))
    assert all(torch.equal(value, average[key]) for key, value in loaded.net_g.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}}},
            "psnr .set held. measures restored",
        ),
        ({"metrics": {"degradation": METRICS["accuracy"]}}, "a column of the table has this name"),
        ({"data": "PairedImageDataset"}, "datasets.train .PairedImageDataset. has no captions"),
        ({"pixel_opt": {"type": "L1Loss"}}, "pixel_opt compares images"),
        ({"save_best": {"dataset": "held", "metric": "psnr"}}, "no metric 'psnr'"),
    ],
)
def test_options_of_restoration_are_refused(model, settings, message):
    with pytest.raises(OptionError, match=message):
        model(**settings)


def test_batches_without_captions_are_refused(model):
    trained = model()
    trained.feed_data({"lq": torch.rand(2, 3, 16, 16)})
    with pytest.raises(OptionError, match="needs the caption of each photo"):
        trained.optimize_parameters(1)


def test_its_metrics_refuse_images():
    from basicsr.metrics import calculate_metric

    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(OptionError, match="not images"):
        calculate_metric({"img": image, "img2": image}, {"type": "calculate_caption_retrieval"})


def test_retrieval_counts_the_own_caption_among_the_nearest():
    from wxr_plugin.metrics.daclip_metric import calculate_caption_retrieval

    cosines = np.array([0.3, 0.9, 0.5, 0.5])
    assert [calculate_caption_retrieval(cosines, own) for own in range(4)] == [0, 1, 0, 0]
    assert [calculate_caption_retrieval(cosines, own, top=3) for own in range(4)] == [0, 1, 1, 1]
