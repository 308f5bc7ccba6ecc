"""All five losses in one run, the gates, the student's view, rounds, warnings before training."""

import copy

import msgspec
import numpy as np
import pytest
import torch
from basicsr.models import build_model
from test_wresvlm_model import batches, labels_of, options, root, train, weights_of  # noqa: F401

from wxr_plugin.checkpoints.containers import load_state
from wxr_plugin.conditioning.clip import ClipGuide
from wxr_plugin.data.real_photos import split_key
from wxr_plugin.errors import OptionError
from wxr_plugin.labels.store import LabelStore, LabelStoreError
from wxr_plugin.losses.pseudo_label_loss import pseudo_label_loss
from wxr_plugin.pseudo_labelling.options import WResVLMTrainOptions

SEMANTIC = {"type": "SemanticLoss", "loss_weight": 0.05}
FEATURE = {"type": "DepthFeatureLoss", "loss_weight": 0.2}


@pytest.fixture
def texts(tmp_path):
    """Label store with texts for three of the four photos, and a restored photo for one of them."""
    path = tmp_path / "texts.lmdb"
    with LabelStore(path) as store:
        for number in range(3):
            said = f"A scene with {('light', 'moderate', 'heavy')[number]} haze."
            store.put_description(str(number), f"content{number}", {"type": "describer"}, said)
            store.put_rewrite(
                str(number), said, {"type": "rewriter"}, "The weather looks good. A scene."
            )
        store.put_pseudo("0", np.full((72, 72, 3), 200, np.uint8), 4.0, "restormer", 0, "panel")
    return str(path)


def test_five_losses_and_one_clip_forward(options, texts, monkeypatch, warnings_said):  # noqa: F811
    torch.manual_seed(0)
    seen, encode = [], ClipGuide.encode_image
    monkeypatch.setattr(
        ClipGuide,
        "encode_image",
        lambda self, images: seen.append(len(images)) or encode(self, images),
    )
    opt = options(semantic_opt=SEMANTIC, feature_opt=FEATURE, strong_augment={}, labels=texts)
    model = build_model(opt)
    assert (
        "L_sem leaves 1 of 4 real photos out, which have no texts (the first is 3)"
        in warnings_said()[0]
    )
    data = batches(opt, 4)
    logs = train(model, data)
    assert seen == [2] * 4
    assert {name for name in logs[0] if name.startswith("l_")} == {
        "l_sup",
        "l_ps",
        "l_wpl",
        "l_sem",
        "l_feat",
    }
    assert all(np.isfinite(list(log.values())).all() for log in logs)
    described = [sum(split_key(key)[0] != "3" for key in batch["real_key"]) for batch in data]
    assert [log["l_sem"] > 0 for log in logs] == [count > 0 for count in described]
    assert model.guided.cri_feat.cache.misses > 0
    sources = {
        source for key, (_, source, *_) in labels_of(model).items() if split_key(key)[0] == "0"
    }
    assert "input" not in sources  # the crops of photo 0 began with those of its restored photo


def test_a_loss_that_is_absent_is_off(options, root):  # noqa: F811
    torch.manual_seed(0)
    opt = options(pseudo_opt=None, weather_prompt_opt=None, rater={"model": "no-such-model"})
    (log,) = train(build_model(opt), batches(opt, 1))
    assert {name for name in log if name.startswith("l_")} == {"l_sup"} and "rating" not in log


def test_the_mean_teacher_neither_rates_nor_stores(options, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    opt = options(gate="teacher", feature_opt=FEATURE, rater={"model": "no-such-model"})
    model = build_model(opt)
    (batch,) = batches(opt, 1)
    with torch.no_grad():
        student, teacher = model.net_g(batch["real"]), model.net_g_ema(batch["real"]).clamp(0, 1)
    (log,) = train(model, [batch])
    assert log["l_ps"] == pytest.approx(0.5 * pseudo_label_loss(student, teacher).item(), rel=1e-4)
    assert "rating" not in log and not list(tmp_path.glob("**/*.lmdb"))
    model.save(0, 3)
    model.save(-1, -1)


def test_the_strict_gate_rates_the_students_image_too(options):  # noqa: F811
    torch.manual_seed(0)
    opt = options(gate="strict")
    model = build_model(opt)
    logs = train(model, batches(opt, 1))
    assert logs[0]["rated"] == 6  # of two crops the photo, the teacher's image and the student's
    assert logs[0]["accepted"] == 0  # both networks are still one, so the teacher's is no better


def test_the_teacher_and_the_rater_see_the_photo_as_it_is(options):  # noqa: F811
    torch.manual_seed(0)
    opt = options(strong_augment={"colour": 0.9, "blur": 3.0, "noise": 0.3, "erase": 0.5})
    model = build_model(opt)
    (batch,) = batches(opt, 1)
    taught = []
    predict = model.predict
    model.predict = lambda lq, net=None: (
        taught.append((net is None, lq.clone())) or predict(lq, net)
    )
    train(model, [batch])
    (_, students), (_, teachers) = taught
    assert torch.equal(teachers, batch["real"]) and torch.equal(students[:2], batch["lq"])
    assert (students[2:] - batch["real"]).abs().mean() > 0.05


def test_a_resumed_run_is_bit_equal_with_every_option_on(options, texts, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    rating = {"every": 2, "margin": 0.001, "proxy": {"threshold": 0.4, "explore": 0.3}}
    settings = {
        "semantic_opt": SEMANTIC,
        "feature_opt": FEATURE,
        "strong_augment": {"erase": 0.3},
        "labels": texts,
    }
    opt = options(**settings, rating=rating)
    data = batches(opt, 3) * 3
    whole = build_model(copy.deepcopy(opt))
    train(whole, data[:6])
    whole.save(0, 6)
    train(whole, data[6:], first=7)
    labels, weights, state = labels_of(whole), weights_of(whole), whole.labels.state()
    assert whole.labels.proxy.ridge is not None and whole.labels.rated > 0
    whole.labels.store.close()
    opt["path"]["resume_state"] = str(tmp_path / "training_states/6.state")
    resumed = build_model(opt)
    resumed.resume_training(load_state(opt["path"]["resume_state"]))
    train(resumed, data[6:], first=7)
    assert labels_of(resumed) == labels
    again = resumed.labels.state()
    assert {key: again[key] for key in ("accepted", "rated", "ratings", "asked")} == {
        key: state[key] for key in ("accepted", "rated", "ratings", "asked")
    }
    assert again["proxy"]["variance"] == state["proxy"]["variance"]
    assert torch.equal(again["proxy"]["ridge"][1], state["proxy"]["ridge"][1])
    assert all(torch.equal(value, weights[key]) for key, value in weights_of(resumed).items())


def test_a_resumed_run_that_rates_in_context_is_bit_equal(options, texts, tmp_path):  # noqa: F811
    """Of one photo the label store has a restoration of the whole photo, of the others none."""
    torch.manual_seed(0)
    rating = {"context": 12, "mirrored": True, "margin": -0.002, "proxy": {"threshold": 0.4}}
    opt = options(labels=texts, rating=rating)
    opt["datasets"]["train"]["real"]["context"] = 12
    data = batches(opt, 3) * 2
    whole = build_model(copy.deepcopy(opt))
    train(whole, data[:3])
    whole.save(0, 3)
    train(whole, data[3:], first=4)
    labels, weights, state = labels_of(whole), weights_of(whole), whole.labels.state()
    raters = {row.key: row.rater for row in whole.labels.store.pseudo_labels()}
    assert whole.labels.rated > 0 and any("@" in rater for rater in raters.values())
    whole.labels.store.close()
    opt["path"]["resume_state"] = str(tmp_path / "training_states/3.state")
    resumed = build_model(opt)
    resumed.resume_training(load_state(opt["path"]["resume_state"]))
    train(resumed, data[3:], first=4)
    assert labels_of(resumed) == labels
    assert {row.key: row.rater for row in resumed.labels.store.pseudo_labels()} == raters
    again = resumed.labels.state()
    counts = ("accepted", "rated", "ratings", "asked")
    assert all(again[key] == state[key] for key in counts)
    assert all(torch.equal(value, weights[key]) for key, value in weights_of(resumed).items())


def test_surroundings_that_the_data_set_does_not_yield_are_named(options):  # noqa: F811
    opt = options(rating={"context": 12})
    with pytest.raises(OptionError, match=r"set datasets.train.real.context: 12 \(SemiSuper"):
        train(build_model(opt), batches(opt, 1))


def test_a_round_starts_from_the_networks_and_labels_of_the_one_before(options, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    opt = options()
    model = build_model(copy.deepcopy(opt))
    train(model, batches(opt, 2))
    model.save(0, 3)
    weights = weights_of(model)
    path = str(tmp_path / "round2.lmdb")
    with LabelStore(path) as store:
        for row in model.labels.store.pseudo_labels():
            store.put_pseudo(row.key, row.image, row.rating, row.source, 0, row.rater)
    opt = options(labels=path, ema_warmup=False)
    opt["path"]["pretrain_network_g"] = str(tmp_path / "models/net_g_3.pth")
    second = build_model(opt)
    assert all(torch.equal(value, weights[key]) for key, value in weights_of(second).items())
    assert any(
        not torch.equal(weights[f"student.{key[8:]}"], weights[key])
        for key in weights
        if key[:8] == "teacher."
    )
    known = {key: row[0] for key, row in labels_of(second).items()}
    assert second.labels.ratings == known and known
    (log,) = train(second, batches(opt, 1))
    assert log["rated"] == 2  # the teacher's images; the labels have ratings by this rater


def test_the_end_of_training_commits_the_labels(options):  # noqa: F811
    torch.manual_seed(0)
    opt = options(labels=None)
    model = build_model(opt)
    train(model, batches(opt, 2))
    model.save(-1, -1)
    with pytest.raises(Exception, match="came to iteration 2: resume that run"):
        model.labels.start()


@pytest.mark.slow
def test_a_run_that_rates_aside(options):  # noqa: F811
    torch.manual_seed(0)
    opt = options(rating={"async": {"device": "cpu", "queue": 4}})
    model = build_model(opt)
    pid = model.labels.client.process.pid
    for _ in range(200):
        train(model, batches(opt, 2))
        if labels_of(model):
            break
    assert labels_of(model)
    model.save(-1, -1)
    assert model.labels.client.process is None and pid
    train(model, batches(opt, 1), first=9)  # goes on with the labels there are


def test_what_does_not_go_together_is_said_at_once():
    blocks = {
        "weather_prompt_opt": {
            "type": "WeatherPromptLoss",
            "prompts_path": "p",
            "clip": "ViT-B-32:openai",
        },
        "semantic_opt": {"type": "SemanticLoss"},
        "pseudo_opt": {"type": "PseudoLabelLoss", "by_rating": True},
        "rating": {"every": 2},
        "gate": "teacher",
    }
    said = refused(blocks).split("; ")
    assert (
        "one CLIP forward" in said[0]
        and "weather_prompt_opt: ViT-B-32:openai, semantic_opt: tiny" in said[0]
    )
    assert "semantic_opt needs the texts of a label store" in said[1]
    assert "by_rating" in said[2] and "gate: teacher rates nothing" in said[3] and len(said) == 4
    in_context = {**blocks, "semantic_opt": None, "rating": {"context": 32}}
    assert "gate: teacher rates nothing" in refused(in_context)
    assert "gate: strict" in refused({"gate": "strict"})
    assert refused({**blocks, "gate": "rating", "labels": "x", "weather_prompt_opt": None}) == ""
    proxy = {
        "pseudo_opt": {"type": "PseudoLabelLoss"},
        "semantic_opt": {"type": "SemanticLoss"},
        "labels": "x",
    }
    assert "rating.proxy: ViT-L" in refused({**proxy, "rating": {"proxy": {"clip": "ViT-L"}}})


def refused(blocks) -> str:
    """What is wrong with these keys of the `train` block."""
    try:
        WResVLMTrainOptions.read({"ema_decay": 0.9, "pixel_opt": {"type": "L1Loss"}, **blocks})
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def test_a_store_without_texts_or_of_another_version_stops_before_training(options, tmp_path):  # noqa: F811
    path = tmp_path / "empty.lmdb"
    LabelStore(path).close()
    with pytest.raises(
        OptionError, match=r"empty.lmdb has no description with its rewrite: .*wxr label describe"
    ):
        build_model(options(semantic_opt=SEMANTIC, labels=str(path)))
    with LabelStore(path) as store:
        store._write([(b"schema", msgspec.msgpack.encode({"wxr_labels": 99}))])
    with pytest.raises(LabelStoreError, match="schema version 99"):
        build_model(options(labels=str(path)))


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ({}, True),
        ({"rater": {"type": "TransformersRater", "model": "tiny", "batch_size": 2}}, True),
        ({"rater": {"prompt": "quality"}}, False),
        ({"rater": {"type": "PyiqaRater", "metric": "piqe"}}, False),
    ],
)
def test_a_judge_that_also_rated_the_training_is_warned_about(options, warnings_said, judge, said):  # noqa: F811
    opt = options(rater={"model": "tiny"})
    metric = {"type": "calculate_vlm_vis", **judge}
    opt["datasets"]["val_1"] = {"name": "real", "metrics": {"vis": metric}}
    build_model(opt)
    assert (
        any(
            "The metric vis judges with the rater of this training" in line
            for line in warnings_said()
        )
        is said
    )
