"""The packaged tiny LLaVA: ratings fall with the strength of the weather."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from sklearn.datasets import load_sample_image

import wxr_plugin
from wxr_plugin.data.weather.synthesis import KINDS, add_weather
from wxr_plugin.vlm.catalog import prompt_text
from wxr_plugin.vlm.describer import build_describer
from wxr_plugin.vlm.rater import RATING_WORDS, build_rater

FOLDER = Path(wxr_plugin.__file__).parent / "assets" / "tiny_llava"
BY_DAY = [0, 1, 2, 4, 5]
"""Places in `photos` of all but the rocket at night."""
SEVERITIES = (0.0, 0.3, 0.8)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    packaged = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    return packaged + [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]


@pytest.fixture(scope="module")
def weathered(photos) -> dict[str, list[list[np.ndarray]]]:
    """Return weather -> for each of SEVERITIES, all photos with that weather."""
    images = {}
    for kind in KINDS:
        images[kind] = [_with_weather(photos, kind, severity) for severity in SEVERITIES]
    return images


def _with_weather(photos: list[np.ndarray], kind: str, severity: float) -> list[np.ndarray]:
    images = []
    for photo in photos:
        rng = np.random.default_rng(7)
        image = add_weather(photo.astype(np.float32) / 255, kind, severity, rng)
        images.append((image * 255 + 0.5).astype(np.uint8))
    return images


@pytest.fixture(scope="module")
def parts() -> tuple:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(FOLDER, dtype=torch.float32).eval()
    return AutoProcessor.from_pretrained(FOLDER), model


def test_asset_is_small_and_documented():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) <= 9 * 2**20
    assert "BSDS500" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_folder_holds_a_llava_without_unused_or_missing_weights(parts):
    from transformers import AutoModelForImageTextToText, LlavaForConditionalGeneration

    assert isinstance(parts[1], LlavaForConditionalGeneration)
    _, report = AutoModelForImageTextToText.from_pretrained(FOLDER, output_loading_info=True)
    assert (
        not report["missing_keys"]
        and not report["unexpected_keys"]
        and not report["mismatched_keys"]
    )


def test_the_five_words_are_single_distinct_tokens(parts):
    ids = [parts[0].tokenizer(word, add_special_tokens=False).input_ids for word in RATING_WORDS]
    assert all(len(row) == 1 for row in ids)
    assert len({row[0] for row in ids}) == 5


def test_tokenizer_writes_any_text_and_reads_it_back(parts):
    text = "Überraschung: 雪 at -3 °C, a scene with heavy rain."
    ids = parts[0].tokenizer(text).input_ids
    assert parts[0].tokenizer.unk_token_id not in ids
    assert parts[0].tokenizer.decode(ids, skip_special_tokens=True) == text


def test_chat_template_writes_the_llava_prompt(parts):
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How is it?"}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "Clear."}]}
    assert (
        parts[0].apply_chat_template([turn], add_generation_prompt=True)
        == "USER: <image>\nHow is it? ASSISTANT:"
    )
    assert (
        parts[0].apply_chat_template([turn, answer])
        == "USER: <image>\nHow is it? ASSISTANT: Clear.</s>"
    )


@pytest.mark.parametrize("prompt", ["visibility", "quality"])
def test_first_generated_token_is_a_rating_word(parts, photos, prompt):
    processor, model = parts
    turn = {
        "role": "user",
        "content": [{"type": "image"}, {"type": "text", "text": prompt_text("rating", prompt)}],
    }
    text = processor.apply_chat_template([turn], add_generation_prompt=True)
    inputs = processor(images=photos, text=[text] * len(photos), return_tensors="pt")
    tokens = model.generate(**inputs, max_new_tokens=4, do_sample=False)[
        :, inputs["input_ids"].shape[1] :
    ]
    answers = [
        answer.strip() for answer in processor.batch_decode(tokens, skip_special_tokens=True)
    ]
    assert set(answers) <= set(RATING_WORDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", ["visibility", "quality"])
def test_rating_falls_from_clear_over_light_to_heavy(weathered, kind, prompt):
    rater = build_rater({"model": "tiny", "prompt": prompt})
    clear, light, heavy = (rater.rate(images).rating for images in weathered[kind])
    # A clear night looks damaged to this rater, as its card says: it may rate light snow higher.
    assert (clear > light)[BY_DAY].all()
    assert (light > heavy).all()
    assert clear.mean() > 4 and heavy.mean() < 3


def test_crops_are_rated_like_their_photos(weathered):
    rater = build_rater({"model": "tiny"})
    for kind in KINDS:
        crops = [[image[60:188, 100:228] for image in images] for images in weathered[kind]]
        clear, light, heavy = (rater.rate(images).rating.mean() for images in crops)
        assert clear > light > heavy


def test_descriptions_name_weather_and_strength(photos, weathered):
    describer = build_describer({"model": "tiny"})
    described = [("clear", text) for text in describer.describe(photos)]
    for kind in KINDS:
        described += [(kind, text) for text in describer.describe(weathered[kind][2])]
        described += [(kind, text) for text in describer.describe(weathered[kind][1])]
    assert np.mean([kind in text for kind, text in described]) >= 0.9
    bad = [text for kind, text in described if kind != "clear" and "clear" not in text]
    assert all(re.search("light|moderate|heavy", text) for text in bad)
