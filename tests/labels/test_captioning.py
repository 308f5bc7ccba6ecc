"""`wxr label caption` with a BLIP of random weights: each clean photo once, atomically."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertTokenizerFast,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

from wxr_plugin.cli import main as cli
from wxr_plugin.data.caption_dataset import CaptionedDegradationDataset
from wxr_plugin.data.caption_table import CaptionRow, read_table, write_table
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.lmdb.build import build
from wxr_plugin.data.sharding import Shard
from wxr_plugin.errors import WxrError
from wxr_plugin.labels import captioning
from wxr_plugin.vlm.blip_describer import BlipDescriber
from wxr_plugin.vlm.describer import build_describer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
WORDS = (*SPECIAL, "a", "photo", "of", "red", "green", "blue", "dark", "light", "thing")


def photo(seed):
    return np.random.default_rng(seed).integers(0, 256, (24, 36, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def blip(tmp_path_factory):
    """Save a small BLIP of random weights in a folder and return it."""
    folder = tmp_path_factory.mktemp("blip")
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
    }
    fast = BertTokenizerFast(
        tokenizer_object=tokenizer, mask_token="[MASK]", bos_token="[DEC]", **special
    )
    size = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    ids = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text = BlipTextConfig(
        vocab_size=len(WORDS), encoder_hidden_size=16, max_position_embeddings=40, **size, **ids
    )
    vision = BlipVisionConfig(image_size=16, patch_size=8, **size)
    torch.manual_seed(1)
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict())
    )
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() >= 2:
                weights.normal_(std=0.5)
        model.text_decoder.cls.predictions.bias[:6] = -30  # words, and never an end
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 16, "width": 16}), fast).save_pretrained(
        folder
    )
    return folder


@pytest.fixture
def layout(tmp_path):
    """Write the official layout: hazy and rainy versions of three photos each."""
    for word in ("hazy", "rainy"):
        for seed in range(3):
            write_image(tmp_path / f"set/{word}/GT/{seed}.png", photo(seed))
            write_image(tmp_path / f"set/{word}/LQ/{seed}.png", photo(seed) // 2)
    return tmp_path / "set"


def run(*words):
    return cli.main(["label", "caption", *map(str, words)])


def test_blip_captions_images(blip):
    describer = build_describer(
        {"type": "BlipDescriber", "model": str(blip), "batch_size": 2, "max_tokens": 5}
    )
    images = [photo(seed) for seed in range(3)]
    texts = describer.describe(images)
    assert len(texts) == 3 and all(text and set(text.split()) <= set(WORDS) for text in texts)
    assert [describer.describe([image])[0] for image in images] == texts
    assert describer.provenance["max_tokens"] == 5 and describer.provenance["weights"].startswith(
        "sha256:"
    )
    assert isinstance(describer, BlipDescriber)


def test_the_official_layout_becomes_a_table_that_trains(blip, layout, tmp_path, capsys):
    table = layout / "captions.csv"
    assert run(layout, "--model", blip, "-o", table) == 0
    rows = list(read_table(table).values())
    files = [f"{word}/LQ/{i}.png" for word in ("hazy", "rainy") for i in range(3)]
    assert [row.file for row in rows] == files
    assert [row.degradation for row in rows] == ["hazy"] * 3 + ["rainy"] * 3
    assert all(row.caption for row in rows)
    assert "6 clean photos captioned, 0 known before, 0 failed" in capsys.readouterr().out
    block = {
        "name": "s",
        "type": "CaptionedDegradationDataset",
        "phase": "train",
        "captions": str(table),
        "size": 16,
    }
    assert len(CaptionedDegradationDataset(block)) == 6


def test_a_clean_photo_is_captioned_once_for_all_its_versions(blip, layout, tmp_path):
    table, asked = tmp_path / "captions.csv", []
    pairs = captioning.find_pairs(
        layout / "hazy/GT", [f"{w}={layout / w / 'LQ'}" for w in ("hazy", "rainy")], tmp_path
    )

    def describe(images):
        asked.append(len(images))
        return [f"photo {image[0, 0, 0]}" for image in images]

    done = captioning.caption(pairs, table, lambda: describe, 2, lambda n: None)
    assert asked == [2, 1] and done.new == 3
    rows = list(read_table(table).values())
    captions = [row.caption for row in rows]
    assert len(captions) == 6 and captions[:3] == captions[3:]
    assert rows[0] == CaptionRow("set/hazy/LQ/0.png", f"photo {photo(0)[0, 0, 0]}", "hazy")


def test_shards_of_the_pairs_keep_the_versions_of_a_photo_together(layout, tmp_path):
    pairs = captioning.find_pairs(layout, [], tmp_path)
    for balance in ("name", "pixels"):
        shards = [captioning.in_shard(pairs, Shard(number, 2, balance)) for number in (1, 2)]
        assert sorted(pair.file for shard in shards for pair in shard) == sorted(
            pair.file for pair in pairs
        )
        assert not {pair.key for pair in shards[0]} & {pair.key for pair in shards[1]}
        assert all(shards)


def test_the_captions_of_all_shards_are_those_of_one_call(blip, layout, tmp_path):
    assert run(layout, "--model", blip, "-o", layout / "all.csv") == 0
    for number in (1, 2):
        shard = ("--shard", f"{number}/2")
        assert run(layout, "--model", blip, "-o", layout / "parts.csv", *shard) == 0
    tables = [read_table(layout / f"{name}.csv").values() for name in ("parts", "all")]
    assert sorted(tables[0]) == sorted(tables[1])


def test_it_resumes_where_it_was_stopped(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(captioning, "EVERY", 1)
    table, asked = tmp_path / "captions.csv", []
    pairs = captioning.find_pairs(layout, [], tmp_path)

    def describe(images):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(images)
        return ["a caption: with a colon"] * len(images)

    with pytest.raises(KeyboardInterrupt):
        captioning.caption(pairs, table, lambda: describe, 1, lambda n: None)
    assert len(read_table(table)) == 2
    asked.clear()
    describe_all = lambda images: (asked.extend(images), ["another"] * len(images))[1]  # noqa: E731
    done = captioning.caption(pairs, table, lambda: describe_all, 8, lambda n: None)
    captions = [row.caption for row in read_table(table).values()]
    assert (
        len(asked) == 4
        and done.reused == 2
        and captions == ["a caption: with a colon"] * 2 + ["another"] * 4
    )
    captioning.caption(pairs, table, lambda: pytest.fail("no model is needed"), 8, lambda n: None)


def test_rows_of_other_photos_stay(layout, tmp_path):
    table = tmp_path / "captions.csv"
    row = CaptionRow("elsewhere/1.png", "a dog", "noisy")
    write_table(table, [row])
    pairs = captioning.find_pairs(layout, [], tmp_path)
    captioning.caption(
        pairs, table, lambda: lambda images: ["a cat"] * len(images), 8, lambda n: None
    )
    assert len(read_table(table)) == 7 and row in read_table(table).values()


def test_photos_without_a_caption_are_named(blip, layout, tmp_path, capsys):
    (layout / "rainy/GT/1.png").write_bytes(b"no image")
    table = tmp_path / "captions.csv"
    assert run(layout, "--model", blip, "-o", table) == 1
    said = capsys.readouterr().out
    assert "no caption:" in said and "rainy/GT/1.png" in said and "5 rows" in said
    silent = captioning.caption(
        captioning.find_pairs(layout, [], tmp_path),
        tmp_path / "t.csv",
        lambda: lambda i: [""] * len(i),
        8,
        lambda n: None,
    )
    assert len(silent.failed) == 6 and not (tmp_path / "t.csv").exists()


def test_lmdbs_of_the_layout(layout, tmp_path):
    for word in ("hazy", "rainy"):
        build(layout / word / "LQ", layout / word / "LQ.lmdb")
    table = tmp_path / "captions.csv"
    pairs = captioning.find_pairs(layout, [], tmp_path)
    captioning.caption(
        pairs, table, lambda: lambda images: ["a cat"] * len(images), 8, lambda n: None
    )
    assert next(iter(read_table(table).values())).file == "set/hazy/LQ.lmdb/0.png"
    block = {
        "name": "s",
        "type": "CaptionedDegradationDataset",
        "phase": "val",
        "captions": str(table),
        "size": 16,
    }
    assert CaptionedDegradationDataset(block)[4]["degradation"] == "rainy"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{set}/hazy"], "no folder of a degradation in it"),
        (["{set}/hazy/GT", "--lq", "{set}/hazy/LQ"], "write DEGRADATION=FOLDER"),
        (["{set}/hazy/GT", "--lq", "foggy={set}/hazy/LQ"], "write DEGRADATION=FOLDER"),
        (["{set}/hazy/GT", "--lq", "hazy={set}/none"], "no such folder"),
        (["{set}", "--batch-size", "0"], "--batch-size must be 1 or more"),
        (["{set}", "--model", "blip-huge"], "unknown captioner 'blip-huge'"),
        (["{set}", "--model", "{set}"], "as a BLIP that captions"),
    ],
)
def test_wrong_input_is_one_line(layout, tmp_path, capsys, words, message):
    assert run(*(word.format(set=layout) for word in words), "-o", tmp_path / "t.csv") == 2
    said = capsys.readouterr().err
    assert message in said and not (tmp_path / "t.csv").exists()


def test_folders_that_do_not_pair_are_refused(layout, tmp_path):
    (layout / "rainy/LQ/2.png").unlink()
    with pytest.raises(WxrError, match=r"holds 2 images and .* 3"):
        captioning.find_pairs(layout, [], tmp_path)
