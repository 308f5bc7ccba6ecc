"""Checks of CLIP-SRD and of a plain CLIP as a guide."""

import re
from pathlib import Path

import numpy as np
import pytest
import toy_option_files
from toy_option_files import make_folders, problem_texts, problems

from wxr_plugin.conditioning.clip_spatial import configured_tower
from wxr_plugin.data.images.io import write_image
from wxr_plugin.options import safe_yaml

SARCWP = {"type": "SARCWP", "width": 4, "context_dim": 64}


@pytest.fixture
def opt(tmp_path):
    """Return options without problems for a SARCWP with the loss on its masks."""
    make_folders(tmp_path)
    for kind, side in (("gt", 128), ("lq", 32)):  # photos as large as the crop
        for number in range(3):
            write_image(
                tmp_path / f"train_{kind}" / f"{number:04d}.png",
                np.full((side, side, 3), number, np.uint8),
            )
    opt = toy_option_files.parse(toy_option_files.MSRRESNET, tmp_path)
    opt["datasets"]["train"]["gt_size"] = 128
    opt["train"]["srd_opt"] = {"type": "ClipSRDLoss", "clip": "tiny", "layers": [1, 2, 3, 4]}
    return opt | {
        "model_type": "SarCwpModel",
        "network_g": dict(SARCWP),
        "guide": {"model": "tiny"},
    }


def test_matching_options_have_no_problems(opt, tmp_path):
    opt["val"] |= {"save_img": True, "save_masks": True}
    assert problems(opt, tmp_path) == []
    opt["guide"] |= {"model": "RN50:openai"}
    opt["network_g"] |= {"context_dim": 1024}
    opt["train"]["srd_opt"] |= {"clip": "ViT-B-16:openai", "layers": [3, 6, 9, 12]}
    assert problems(opt, tmp_path) == []


@pytest.mark.parametrize(
    ("keys", "value", "place", "message"),
    [
        (
            "train.srd_opt.clip",
            "RN51:openai",
            "train.srd_opt.clip",
            "unknown CLIP 'RN51:openai': take tiny, or",
        ),
        (
            "train.srd_opt.clip",
            "convnext_base:laion400m_s13b_b51k",
            "train.srd_opt.clip",
            "no spatial features",
        ),
        ("train.srd_opt.layers", [1, 2, 3, 5], "train.srd_opt.layers", "'tiny' has layers 1 to 4"),
        (
            "datasets.train.gt_size",
            96,
            "datasets.train.gt_size",
            "96 pixels are too small for layer 4 .* 4 x 4 positions",
        ),
        (
            "network_g.sar",
            None,
            "train.srd_opt",
            r"SARCWP\) has no masks to train; set network_g.sar: spatial",
        ),
        (
            "network_g.context_dim",
            512,
            "network_g.context_dim",
            "length 512, and guide.model tiny gives 64",
        ),
        ("guide.model", "tuny", "guide.model", "unknown CLIP 'tuny'"),
        (
            "network_g.context",
            ["image", "content"],
            "network_g.context",
            "one or more of image, not",
        ),
        ("val.save_mask", True, "val.save_mask", "did you mean save_masks"),
        ("train.srd_opt.variants", "map", "train.srd_opt.variants", "did you mean variant"),
    ],
)
def test_a_mismatch_is_reported(opt, tmp_path, keys, value, place, message):
    *path, last = keys.split(".")
    block = opt
    for key in path:
        block = block[key]
    block[last] = value
    assert_said(problem_texts(opt, tmp_path), place, message)


def test_a_set_without_clean_photos(opt, tmp_path):
    lq = str(tmp_path / "train_lq")
    real = {"name": "real", "type": "RealWeatherDataset", "dataroot": lq, "gt_size": 128}
    opt["datasets"]["train"] = real | {"num_worker_per_gpu": 0, "batch_size_per_gpu": 1}
    opt["scale"] = 1
    message = (
        r"compares each photo with a clean one, and datasets.train \(RealWeatherDataset\) yields "
        "none; train on"
    )
    assert_said(problem_texts(opt, tmp_path), "train.srd_opt", message)


def test_networks_take_one_guide(opt, tmp_path):
    opt["network_g"] = {
        "type": "NAFNet",
        "width": 4,
        "context": ["image", "content"],
        "sar": "spatial",
    }
    assert_said(problem_texts(opt, tmp_path), "network_g.context", "a network has one guide")
    opt["network_g"] = {
        "type": "NAFNet",
        "width": 4,
        "context": ["image"],
        "context_dim": 64,
        "sar": "spatial",
    }
    assert problems(opt, tmp_path) == []
    opt["network_g"].pop("sar")
    assert_said(
        problem_texts(opt, tmp_path), "train.srd_opt", r"network_g \(NAFNet\) has no masks to train"
    )


def test_a_model_that_has_no_such_loss(opt, tmp_path):
    assert_said(
        problem_texts(opt | {"model_type": "WxrModel"}, tmp_path), "train.srd_opt", "unknown key"
    )


def assert_said(reported: dict[str, str], place: str, message: str) -> None:
    assert set(reported) == {place} and re.search(message, reported[place]), reported


def test_the_tiny_recipe_has_four_positions_each_way():
    opt = safe_yaml.load(Path(__file__).parents[2] / "options/tiny/sarcwp.yml")
    tower = configured_tower(opt["train"]["srd_opt"]["clip"])
    assert opt["datasets"]["train"]["gt_size"] >= 4 * tower.stride(
        max(opt["train"]["srd_opt"]["layers"])
    )
