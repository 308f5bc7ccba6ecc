"""WResVLM's loop with small real parts: MSBDN, a LLaVA and the packaged CLIP."""

import copy

import cv2
import numpy as np
import pytest
import small_models
import torch
from basicsr.data import build_dataset
from basicsr.models import build_model
from torch.utils.data import default_collate

from wxr_plugin.checkpoints.containers import load_state
from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.prompts import PromptError, WeatherPrompts, fit
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.weather.synthesis import add_weather
from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.prompt_learning.photos import encode, list_photos
from wxr_plugin.pseudo_labelling.gate_counts import gate_counts

NETWORK = {
    "type": "MSBDN",
    "width": 4,
    "bottleneck_blocks": 1,
    "stage_blocks": 1,
    "global_residual": True,
}


def photo(seed: int, size: int = 72) -> np.ndarray:
    """Coloured blobs, float32 RGB."""
    coarse = np.random.default_rng(seed).random((6, 6, 3), dtype=np.float32)
    return np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folders of clear and of real photos, a rater and weather prompts."""
    root = tmp_path_factory.mktemp("wresvlm")
    for seed in range(4):
        write_image(root / f"clear/{seed}.png", np.uint8(255 * photo(seed)))
        hazy = add_weather(photo(10 + seed), "haze", 0.8, np.random.default_rng(seed))
        write_image(root / f"real/{seed}.png", np.uint8(255 * hazy))
    small_models.llava(root / "rater")
    guide = load_clip("tiny")
    data = encode(list_photos({}, str(root / "clear")), guide, crops=0)
    fit(data.features, data.classes, guide, range(20), lr=0.01).save(root / "prompts.safetensors")
    return root


@pytest.fixture
def options(root, tmp_path):
    """Options of a run in tmp_path, with changes to its `train` block."""

    def make(**train):
        prompts = {
            "type": "WeatherPromptLoss",
            "loss_weight": 0.2,
            "prompts_path": str(root / "prompts.safetensors"),
        }
        data = {
            "paired": {"dataroot_gt": str(root / "clear"), "synthetic": {}},
            "real": {"dataroot": str(root / "real")},
        }
        return {
            "name": "run",
            "model_type": "WResVLMModel",
            "num_gpu": 0,
            "is_train": True,
            "dist": False,
            "rank": 0,
            "world_size": 1,
            "manual_seed": 3,
            "path": {
                name: str(tmp_path / name)
                for name in ("experiments_root", "models", "training_states")
            },
            "datasets": {
                "train": {
                    "type": "SemiSupervisedDataset",
                    "name": "t",
                    "phase": "train",
                    "gt_size": 32,
                    **data,
                }
            },
            "logger": {"save_checkpoint_freq": 3, "print_freq": 1},
            "network_g": copy.deepcopy(NETWORK),
            "train": {
                "total_iter": 6,
                "ema_decay": 0.9,
                "optim_g": {"type": "Adam", "lr": 1e-2},
                "pixel_opt": {"type": "L1Loss"},
                "pseudo_opt": {"type": "PseudoLabelLoss", "loss_weight": 0.5},
                "weather_prompt_opt": prompts,
                "rater": {"model": str(root / "rater")},
                "nan_guard": {},
                **train,
            },
        }

    return make


def batches(opt: dict, count: int) -> list[dict]:
    dataset = build_dataset(opt["datasets"]["train"])
    draws = [
        [dataset.draw(i % len(dataset), np.random.default_rng((i, j))) for j in range(2)]
        for i in range(count)
    ]
    return [default_collate(items) for items in draws]


def train(model, data: list[dict], first: int = 1) -> list[dict]:
    logs = []
    for iteration, batch in enumerate(data, first):
        model.update_learning_rate(iteration)
        model.feed_data(batch)
        model.optimize_parameters(iteration)
        logs.append(model.get_current_log())
    return logs


def labels_of(model) -> dict[str, tuple]:
    return {
        row.key: (row.rating, row.source, row.iteration, row.png)
        for row in model.labels.store.pseudo_labels()
    }


def ratings_of(model) -> dict[tuple, tuple]:
    rows = model.labels.store.answers("rating")
    return {(row.key, row.content): (row.rating, row.iteration) for row in rows}


def weights_of(model) -> dict[str, torch.Tensor]:
    nets = {"student": model.net_g, "teacher": model.net_g_ema}
    return {
        f"{net}.{key}": value.clone()
        for net in nets
        for key, value in nets[net].state_dict().items()
    }


def test_six_iterations(options):
    torch.manual_seed(0)
    opt = options()
    model = build_model(opt)
    before, data = weights_of(model), batches(opt, 6)
    logs = train(model, data)
    assert all(np.isfinite(log[name]) for log in logs for name in ("l_sup", "l_ps", "l_wpl"))
    after = weights_of(model)
    assert not torch.equal(
        before["student.conv_output.conv2d.weight"], after["student.conv_output.conv2d.weight"]
    )
    labels = labels_of(model)
    assert set(labels) == {key for batch in data for key in batch["real_key"]}
    assert logs[-1]["rating"] == pytest.approx(np.mean([row[0] for row in labels.values()]))
    accepted = [row for row in labels.values() if row[1].startswith("teacher@")]
    assert accepted and logs[-1]["accepted"] >= len(accepted)


def test_ratings_never_fall(options):
    torch.manual_seed(0)
    opt = options()
    model = build_model(opt)
    data, seen = batches(opt, 2) * 3, {}
    for iteration, batch in enumerate(data, 1):
        train(model, [batch], iteration)
        now = {key: row[0] for key, row in labels_of(model).items()}
        assert all(now[key] >= rating for key, rating in seen.items())
        seen = now


def test_the_student_is_compared_with_the_stored_label(options):
    """With L_ps alone and the label of a photo set to white, the student's output gets brighter."""
    torch.manual_seed(0)
    opt = options(
        pseudo_opt={"type": "PseudoLabelLoss", "loss_weight": 100.0}, weather_prompt_opt=None
    )
    model = build_model(opt)
    (batch,) = batches(opt, 1)
    for key in batch["real_key"]:
        model.labels.store.put_pseudo(
            key, np.full((32, 32, 3), 255, np.uint8), 5.0, "white", 0, model.labels.rater_hash
        )
    before = model.net_g(batch["real"]).mean()
    logs = train(model, [batch] * 4)
    assert model.net_g(batch["real"]).mean() > before
    assert logs[0]["l_ps"] == pytest.approx(100 * (1 - batch["real"]).mean().item(), rel=1e-3)
    assert [row[1] for row in labels_of(model).values()] == ["white"] * len(labels_of(model))


def test_the_teacher_follows_quickly_at_first(options):
    torch.manual_seed(0)
    opt = options(ema_decay=0.999)
    model = build_model(opt)
    before = weights_of(model)["teacher.conv_output.conv2d.weight"]
    train(model, batches(opt, 1))
    after = weights_of(model)
    key = "conv_output.conv2d.weight"
    torch.testing.assert_close(after[f"teacher.{key}"], (before + after[f"student.{key}"]) / 2)


def test_the_warm_up_of_the_teacher_counts_updates_and_not_batches(options):
    """The first update comes with the third batch: decay 1 - 1 / 2 and not 1 - 1 / 4."""
    torch.manual_seed(0)
    opt = options(ema_decay=0.999, accumulate=3)
    model = build_model(opt)
    key = "conv_output.conv2d.weight"
    before = weights_of(model)[f"teacher.{key}"]
    train(model, batches(opt, 3))
    after = weights_of(model)
    torch.testing.assert_close(after[f"teacher.{key}"], (before + after[f"student.{key}"]) / 2)


def test_a_nan_step_changes_no_label(options):
    torch.manual_seed(0)
    opt = options()
    model = build_model(opt)
    data = batches(opt, 3)
    train(model, data[:1])
    labels, weights = labels_of(model), weights_of(model)
    train(model, [{**data[1], "lq": data[1]["lq"] * float("nan")}], first=2)
    assert labels_of(model) == labels
    assert all(torch.equal(value, weights[key]) for key, value in weights_of(model).items())
    train(model, data[2:], first=3)
    assert set(labels_of(model)) == set(labels) | set(data[2]["real_key"])


def test_a_resumed_run_ends_with_the_same_weights_and_labels(options, tmp_path):
    torch.manual_seed(0)
    opt = options()
    data = batches(opt, 6)
    whole = build_model(copy.deepcopy(opt))
    train(whole, data[:3])
    whole.save(0, 3)
    train(whole, data[3:], first=4)
    whole.save(0, 6)
    labels, weights, state = labels_of(whole), weights_of(whole), whole.labels.state()
    ratings, counts = ratings_of(whole), gate_counts(tmp_path / "experiments_root")
    assert [entry.iteration for entry in counts] == [3, 6] and counts[-1].rated == state["rated"]
    opt["path"]["resume_state"] = str(tmp_path / "training_states/3.state")
    resumed = build_model(opt)
    resumed.resume_training(load_state(opt["path"]["resume_state"]))
    assert all(row[2] <= 3 for row in labels_of(resumed).values())
    assert all(iteration <= 3 for _, iteration in ratings_of(resumed).values())
    assert gate_counts(tmp_path / "experiments_root") == counts[:1]
    train(resumed, data[3:], first=4)
    resumed.save(0, 6)
    assert labels_of(resumed) == labels and ratings_of(resumed) == ratings
    assert gate_counts(tmp_path / "experiments_root") == counts
    assert resumed.labels.state() == state
    assert all(torch.equal(value, weights[key]) for key, value in weights_of(resumed).items())


def test_accumulation_stores_the_labels_of_all_its_batches(options):
    torch.manual_seed(0)
    opt = options(accumulate=3)
    model = build_model(opt)
    data = batches(opt, 3)
    train(model, data[:2])
    assert labels_of(model) == {}
    train(model, data[2:], first=3)
    assert set(labels_of(model)) == {key for batch in data for key in batch["real_key"]}


def test_streams_of_different_sizes(options):
    torch.manual_seed(0)
    opt = options()
    opt["datasets"]["train"]["real"]["gt_size"] = 48
    (log,) = train(build_model(opt), batches(opt, 1))
    assert np.isfinite(log["l_wpl"])


def test_options_that_cannot_work_are_named(options, root, tmp_path):
    missing = {"type": "WeatherPromptLoss", "prompts_path": str(tmp_path / "none.safetensors")}
    with pytest.raises(PromptError, match=r"no weather prompts at .*none.safetensors"):
        build_model(options(weather_prompt_opt=missing))
    foreign = WeatherPrompts(torch.zeros(4, 16, 8), "ViT-B-32:openai", "0" * 64)
    foreign.save(tmp_path / "foreign.safetensors")
    with pytest.raises(PromptError, match="learnt with CLIP 'ViT-B-32:openai'"):
        build_model(
            options(
                weather_prompt_opt={
                    **missing,
                    "prompts_path": str(tmp_path / "foreign.safetensors"),
                }
            )
        )
    with pytest.raises(OptionError, match="perceptual_opt is not part"):
        build_model(options(perceptual_opt={"type": "PerceptualLoss"}))
    with pytest.raises(WxrError, match="no-such-model"):
        build_model(options(rater={"model": "no-such-model"}))


def test_a_dataset_without_real_photos_is_named(options):
    opt = options()
    (batch,) = batches(opt, 1)
    opt["datasets"]["train"]["type"] = "PairedWeatherDataset"
    model = build_model(opt)
    with pytest.raises(
        OptionError, match=r"datasets.train \(PairedWeatherDataset\) yields no unlabelled photos"
    ):
        train(model, [{key: value for key, value in batch.items() if not key.startswith("real")}])


def test_another_store_than_the_checkpoints_is_refused(options, tmp_path):
    torch.manual_seed(0)
    opt = options()
    model = build_model(copy.deepcopy(opt))
    train(model, batches(opt, 3))
    model.save(0, 3)
    opt["path"]["resume_state"] = str(tmp_path / "training_states/3.state")
    opt["train"]["labels"] = str(tmp_path / "other.lmdb")
    with pytest.raises(
        OptionError, match=r"train.labels is .*other.lmdb, but the run to resume has None"
    ):
        build_model(opt).resume_training(load_state(opt["path"]["resume_state"]))
    assert len(LabelStore(tmp_path / "other.lmdb", readonly=True).pseudo_labels()) == 0
