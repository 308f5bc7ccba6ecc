"""The rater with random weights has LLaVA-1.5-7B's sizes, and a small one rates."""

from functools import partial

import numpy as np
import torch
from transformers import AutoModelForImageTextToText

from benchmarks.gpu import random_rater
from benchmarks.gpu.random_rater import RandomLlavaOptions, RandomLlavaRater
from wxr_plugin.vlm.catalog import find_model
from wxr_plugin.vlm.rater import build_rater

FULL = partial(random_rater.llava_config, "7b", find_model("tiny").model)
PHOTO = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)


def shrunk(*_):
    """Return the large config with a narrow layer of each kind, for the same images and tokens."""
    config = FULL()
    for part in (config.vision_config, config.text_config):
        part.hidden_size, part.intermediate_size, part.num_attention_heads = 32, 64, 2
    config.text_config.num_key_value_heads, config.text_config.head_dim = 2, 16
    config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers = 1, 2
    return config


def test_it_has_the_published_number_of_parameters():
    config = FULL()
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    assert sum(parameter.numel() for parameter in model.parameters()) == 7_063_427_072
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_it_rates_576_patches_with_the_packaged_tokenizer(monkeypatch):
    monkeypatch.setattr(random_rater, "llava_config", shrunk)
    rater = RandomLlavaRater(RandomLlavaOptions(device="cpu", dtype="float32"))
    tokens = rater.vlm.question(rater.prompt)([torch.from_numpy(PHOTO).permute(2, 0, 1)])[
        "input_ids"
    ]
    assert (tokens == random_rater.IMAGE_TOKEN).sum() == 576 and tokens.shape[1] == 612
    ratings = rater.rate([PHOTO, PHOTO // 2]).rating
    assert ratings.isfinite().all() and ratings.min() >= 1 and ratings.max() <= 5


def test_its_weights_are_the_same_each_time_and_leave_the_generator_alone():
    block = {"type": "RandomLlavaRater", "size": "tiny", "device": "cpu", "dtype": "float32"}
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    rater, twin = build_rater(block), build_rater(block)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(rater.rate([PHOTO]).logits, twin.rate([PHOTO]).logits)
    assert rater.provenance["weights"] == "random tiny"
