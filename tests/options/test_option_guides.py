"""Checks of a network with context and its guide, and of the equation of an IR-SDE."""

import pytest
import torch
import toy_option_files
from basicsr.utils.registry import ARCH_REGISTRY
from toy_option_files import make_folders, problem_texts, problems

from wxr_plugin.conditioning.clip import build_clip
from wxr_plugin.conditioning.daclip import DaCLIP
from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks.guide import guide_width

STEERED = {"type": "NAFNet", "width": 4, "context": ["content", "degradation"], "context_dim": 64}


@pytest.fixture(scope="module")
def guide(tmp_path_factory) -> str:
    """Return the file of a DA-CLIP of width 64."""
    file = tmp_path_factory.mktemp("guide") / "daclip.pth"
    torch.save({"state_dict": DaCLIP(*build_clip("tiny")).state_dict()}, file)
    return str(file)


@pytest.fixture
def opt(tmp_path, guide):
    """Return options without problems for a NAFNet with a context."""
    make_folders(tmp_path)
    opt = toy_option_files.parse(toy_option_files.MSRRESNET, tmp_path)
    return opt | {"model_type": "WxrModel", "network_g": dict(STEERED), "guide": {"model": guide}}


@pytest.fixture
def universal(opt, tmp_path):
    """Return the same, trained on a tree of the ten degradations."""
    for side in ("LQ", "GT"):
        folder = tmp_path / "universal" / "train" / "hazy" / side
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(side.encode())
    train = {
        "name": "ten",
        "type": "DegradationDataset",
        "dataroot": str(tmp_path / "universal"),
        "gt_size": 16,
    }
    opt["datasets"]["train"] = train | {"num_worker_per_gpu": 0, "batch_size_per_gpu": 1}
    return opt | {"scale": 1}


def test_a_matching_guide_has_no_problems(opt, tmp_path):
    assert problems(opt, tmp_path) == []
    del opt["guide"]
    assert problems(opt | {"network_g": {"type": "NAFNet", "width": 4}}, tmp_path) == []


def test_a_context_without_a_guide(opt, tmp_path):
    del opt["guide"]
    reported = problem_texts(opt, tmp_path)
    assert (
        "NAFNet) takes a context of content and degradation, and no guide computes it"
        in reported.pop("guide")
    )
    assert not reported


@pytest.mark.parametrize("network", [{"type": "NAFNet"}, {"type": "MSRResNet"}])
def test_a_guide_without_a_context(opt, tmp_path, network):
    reported = problem_texts(opt | {"network_g": network}, tmp_path)
    assert f"network_g ({network['type']}) takes no context: set network_g.context" in reported.pop(
        "guide"
    )
    assert not reported


def test_a_width_that_is_not_the_guides(opt, tmp_path, guide):
    del opt["network_g"]["context_dim"]
    expected = (
        f"takes embeddings of length 512, and guide.model {guide} gives 64; set context_dim: 64"
    )
    assert expected in problem_texts(opt, tmp_path)["network_g.context_dim"]
    assert all(problem.line for problem in problems(opt, tmp_path))


def test_a_name_that_no_embedding_has(opt, tmp_path):
    opt["network_g"]["context"] = ["degradations"]
    assert (
        "one or more of content, degradation, image"
        in problem_texts(opt, tmp_path)["network_g.context"]
    )


def test_a_guide_that_is_not_there_or_no_daclip(opt, tmp_path):
    opt["guide"]["model"] = str(tmp_path / "gone.pt")
    assert f"{tmp_path}/gone.pt does not exist" in problem_texts(opt, tmp_path)["guide.model"]
    other = tmp_path / "other.pt"
    torch.save({"weight": torch.zeros(2)}, other)
    opt["guide"]["model"] = str(other)
    assert f"{other} holds no DA-CLIP" in problem_texts(opt, tmp_path)["guide.model"]
    other.write_text("<html>")
    assert f"{other}: no checkpoint, or a broken one" in problem_texts(opt, tmp_path)["guide.model"]


def test_whole_photos_for_the_guide_and_from_the_set_go_together(universal, tmp_path):
    universal["guide"]["view"] = "photo"
    assert "no datasets.train.guide_size" in problem_texts(universal, tmp_path)["guide.view"]
    universal["datasets"]["train"]["guide_size"] = 224
    assert problems(universal, tmp_path) == []
    del universal["guide"]["view"]
    assert "no guide uses them" in problem_texts(universal, tmp_path)["datasets.train.guide_size"]


def test_a_model_of_basicsr_passes_no_context(opt, tmp_path):
    del opt["guide"]
    reported = problem_texts(opt | {"model_type": "SRModel"}, tmp_path)
    assert "which SRModel does not pass; use WxrModel" in reported["model_type"]


def test_a_third_party_network_may_take_any_context(opt, tmp_path):
    class Foreign(torch.nn.Module):
        def __init__(self, context=True):
            super().__init__()

    Foreign.__module__ = "elsewhere"
    ARCH_REGISTRY.register(Foreign)
    try:
        assert problems(opt | {"network_g": {"type": "Foreign"}}, tmp_path) == []
    finally:
        del ARCH_REGISTRY._obj_map["Foreign"]


def test_the_width_comes_from_shapes_alone(guide, tmp_path, monkeypatch):
    assert guide_width(guide) == 64
    vit = tmp_path / "vit.pt"
    torch.save(
        {"module.visual_control.proj": torch.zeros(8, 5), "logit_scale": torch.zeros(())}, vit
    )
    mapped = []
    real = torch.load
    monkeypatch.setattr(
        torch, "load", lambda *args, **more: mapped.append(more["mmap"]) or real(*args, **more)
    )
    assert guide_width(str(vit)) == 5 and mapped == [True]
    old = tmp_path / "old.pt"
    torch.save(
        {"visual_control.proj": torch.zeros(8, 6)}, old, _use_new_zipfile_serialization=False
    )
    assert guide_width(str(old)) == 6
    with pytest.raises(WxrError, match="does not exist"):
        guide_width("nowhere.pt")


# the equation


def sampled(opt: dict, **blocks) -> dict:
    opt["network_g"] = {"type": "ConditionalUNet", "nf": 8, "ch_mult": [1, 2]}
    opt["train"]["pixel_opt"] = {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}
    del opt["guide"]
    return opt | {"model_type": "IRSDEModel"} | blocks


def test_more_steps_than_are_trained(opt, tmp_path):
    opt = sampled(opt, sde={"steps": 50})
    assert problems(opt, tmp_path) == []
    opt["val"]["sampling"] = {"steps": 51}
    expected = (
        "sampling takes 51 steps, but the network is trained on a schedule of 50 (sde.steps); "
        "take 50 or fewer"
    )
    assert problem_texts(opt, tmp_path) == {"val.sampling.steps": expected}


def test_a_test_of_weights_that_were_trained_on_another_equation(opt, tmp_path):
    weights = tmp_path / "net.pth"
    torch.save(
        {
            "params": {"a": torch.zeros(1)},
            "sde": {"steps": 100, "max_sigma": 10, "schedule": "cosine"},
        },
        weights,
    )
    opt = sampled(
        opt, sde={"steps": 200, "max_sigma": 10}, path={"pretrain_network_g": str(weights)}
    )
    assert problems(opt, tmp_path) == [], "training may go on with another equation"
    for key in ("train", "logger"):
        del opt[key]
    opt["datasets"] = {"test_1": opt["datasets"]["val"]}
    expected = f"200, but {weights} was trained with 100; set sde.steps: 100"
    assert problem_texts(opt, tmp_path, is_train=False) == {"sde.steps": expected}


# who calls whom


def test_a_network_that_the_model_cannot_call(opt, tmp_path):
    opt = sampled(opt)
    assert problems(opt, tmp_path) == []
    reported = problem_texts(opt | {"model_type": "WxrModel"}, tmp_path)["network_g.type"]
    assert reported.startswith(
        "WxrModel calls net(lq), which ConditionalUNet (xt, lq, time, context) does not take; use"
    )
    reported = problem_texts(opt | {"network_g": {"type": "NAFNet"}}, tmp_path)["network_g.type"]
    assert (
        "IRSDEModel calls net(xt, lq, time), which NAFNet (lq, context) does not take; use "
        "ConditionalUNet" in reported
    )


def test_the_controllers_model_trains_a_controller(opt, tmp_path):
    del opt["guide"]
    reported = problem_texts(
        opt | {"model_type": "DaCLIPModel", "network_g": {"type": "NAFNet"}}, tmp_path
    )
    assert reported["network_g.type"] == "DaCLIPModel trains a DaCLIP, not a NAFNet; use DaCLIP"
