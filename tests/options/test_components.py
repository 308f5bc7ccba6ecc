"""Lookup of registered classes: the class of `Registry.get`, and a fix for unregistered types."""

import pytest
import toy_option_files
from basicsr.archs.discriminator_arch import UNetDiscriminatorSN
from basicsr.data.realesrgan_dataset import RealESRGANDataset
from basicsr.utils.registry import DATASET_REGISTRY
from toy_option_files import make_folders, problem_texts

from wxr_plugin.options.checks.components import registered


@pytest.fixture
def opt(tmp_path):
    make_folders(tmp_path)
    return toy_option_files.parse(toy_option_files.MSRRESNET, tmp_path)


@pytest.fixture
def their_dataset():
    """Register a plug-in's RealESRGANDataset with own keys next to RealESRGANDataset_basicsr."""
    cls = type("RealESRGANDataset", (RealESRGANDataset,), {"__module__": "their_project"})
    DATASET_REGISTRY.register(cls)
    yield cls
    del DATASET_REGISTRY._obj_map["RealESRGANDataset"]


def test_a_plugins_class_goes_before_basicsrs_of_that_name(opt, tmp_path, their_dataset):
    assert (
        registered("dataset")["RealESRGANDataset"]
        is their_dataset
        is DATASET_REGISTRY.get("RealESRGANDataset")
    )
    train = toy_option_files.parse(toy_option_files.BLIND, tmp_path) | {
        "meta_info_file": "listed.txt"
    }
    opt["datasets"]["train"] = train
    assert "datasets.train.meta_info_file" not in {
        k: v for k, v in problem_texts(opt, tmp_path).items() if "unknown" in v
    }


def test_basicsrs_own_is_taken_where_there_is_no_other():
    assert registered("dataset")["RealESRGANDataset"] is RealESRGANDataset
    assert registered("network")["UNetDiscriminatorSN"] is UNetDiscriminatorSN


@pytest.mark.parametrize("model", ["HATModel", "ImageCleanModel", "SRModl", "Nothing"])
def test_the_hint_at_plugins_is_always_there(opt, tmp_path, model):
    words = problem_texts(opt | {"model_type": model}, tmp_path)["model_type"]
    assert "under plugins" in words
    assert ("did you mean SRModel?" in words) == (model == "SRModl")


def test_an_optimizer_is_of_torch_and_of_no_plugin(opt, tmp_path):
    opt["train"]["optim_g"]["type"] = "AdamWW"
    assert (
        problem_texts(opt, tmp_path)["train.optim_g.type"]
        == "no optimizer 'AdamWW' is registered; did you mean AdamW?"
    )
