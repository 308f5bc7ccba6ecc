import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_chat_models
import small_models
import torch
from safetensors.torch import load_file, save_file
from skimage import data as packaged

from wxr_plugin.errors import WxrError
from wxr_plugin.vlm import catalog, inputs
from wxr_plugin.vlm.catalog import find_model, prompt_text
from wxr_plugin.vlm.describer import build_describer
from wxr_plugin.vlm.rater import RATING_WORDS, build_rater, rating_from_logits
from wxr_plugin.vlm.transformers_rater import word_ids

SLIDE = (13.1, 16.2, 18.8, 12.6, 11.5)
BUILDERS = {
    builder.__name__: builder
    for builder in (
        *(
            small_models.llava,
            small_models.llava_next,
            small_models.qwen2_vl,
            small_models.idefics3,
        ),
        *(small_chat_models.internvl, small_chat_models.qwen2_5_vl, small_chat_models.qwen3_vl),
    )
}


@pytest.fixture(scope="module", params=BUILDERS)
def any_model(request, tmp_path_factory):
    return BUILDERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return small_models.llava(tmp_path_factory.mktemp("llava") / "model")


def photos(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def rater(folder, **options):
    return build_rater({"model": str(folder), **options})


# The rating


def test_the_logits_of_the_slide_have_the_rating_of_the_slide():
    assert rating_from_logits(torch.tensor(SLIDE)).item() == pytest.approx(3.0718, abs=5e-5)


def test_ratings_span_one_to_five_and_keep_the_shape():
    sure = torch.full((5, 5), -40.0).fill_diagonal_(40.0).view(5, 1, 5)
    torch.testing.assert_close(
        rating_from_logits(sure), torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]).view(5, 1)
    )
    assert rating_from_logits(torch.zeros(2, 3, 5)).tolist() == [[3.0] * 3] * 2


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_have_no_rating(broken):
    logits = torch.tensor([SLIDE, SLIDE])
    logits[0, 2] = broken
    rating = rating_from_logits(logits)
    assert rating[0].isnan() and rating[1] == pytest.approx(3.0718, abs=5e-5)


# The five words


@pytest.mark.parametrize("bos", [True, False])
def test_words_with_and_without_a_bos(bos):
    tokenizer = small_models.word_tokenizer(bos)
    assert tokenizer("excellent").input_ids[0] == (
        1 if bos else tokenizer.convert_tokens_to_ids("excellent")
    )
    assert tokenizer.convert_ids_to_tokens(word_ids(tokenizer)) == list(RATING_WORDS)


def test_llamas_tokenizer_yields_the_tokens_of_wresvlms_script():
    pieces = ("▁", "▁excell", "ent", "▁good", "▁fair", "▁poor", "▁bad", *"abdefgiloprnctx")
    tokenizer = small_models.sentencepiece_tokenizer(pieces)
    ids = word_ids(tokenizer)
    assert tokenizer.convert_ids_to_tokens(ids) == ["▁excell", "▁good", "▁fair", "▁poor", "▁bad"]
    assert ids == [tokenizer(word).input_ids[1] for word in RATING_WORDS]


def test_a_separate_space_marker_is_skipped():
    tokenizer = small_models.sentencepiece_tokenizer(("▁", *RATING_WORDS, *"abdefgiloprnctx"))
    assert tokenizer.convert_ids_to_tokens(tokenizer("good").input_ids) == ["<s>", "▁", "good"]
    assert tokenizer.convert_ids_to_tokens(word_ids(tokenizer)) == list(RATING_WORDS)


def test_byte_level_tokenizer_without_bos_gives_first_sub_tokens():
    merges = [
        ("e", "x"),
        ("g", "o"),
        ("go", "o"),
        ("f", "a"),
        ("fa", "i"),
        ("p", "o"),
        ("b", "a"),
        ("ba", "d"),
    ]
    tokenizer = small_models.byte_tokenizer(merges)
    ids = word_ids(tokenizer)
    assert tokenizer.convert_ids_to_tokens(ids) == ["ex", "goo", "fai", "po", "bad"]
    assert ids == [tokenizer(word).input_ids[0] for word in RATING_WORDS]


def test_words_with_the_same_first_token_are_refused():
    tokenizer = small_models.byte_tokenizer([])
    with pytest.raises(WxrError, match="'good' and 'great' start with the same token"):
        word_ids(tokenizer, ("excellent", "good", "great", "bad"))


def test_a_model_whose_tokenizer_cannot_rate_is_refused(tmp_path):
    words = small_models.word_tokenizer(words=small_models.TEXT)
    words.backend_tokenizer.normalizer = small_models.normalizers.Replace("poor", "bad")
    with pytest.raises(WxrError, match="'poor' and 'bad' start with the same token"):
        rater(small_models.llava(tmp_path / "model", words))


def test_an_unknown_word_is_refused():
    with pytest.raises(WxrError, match="does not know the word 'splendid'"):
        word_ids(small_models.word_tokenizer(), ("good", "splendid"))


# Rating with a model


def test_ratings_are_those_of_the_whole_forward_pass(any_model):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(any_model)
    model = AutoModelForImageTextToText.from_pretrained(any_model).eval()
    images = photos((60, 90), (60, 90))
    text = inputs.chat(processor, prompt_text("rating", "visibility"))
    expected = []
    for image in images:
        given = processor(
            images=[torch.from_numpy(image).permute(2, 0, 1)], text=[text], return_tensors="pt"
        )
        with torch.no_grad():
            expected.append(model(**given).logits[0, -1, word_ids(processor.tokenizer)])
    ratings, logits = rater(any_model).rate(images)
    torch.testing.assert_close(logits, torch.stack(expected), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        ratings, rating_from_logits(torch.stack(expected)), atol=1e-5, rtol=1e-5
    )
    assert ratings[0] != ratings[1]


def test_a_rating_does_not_depend_on_the_other_images_of_its_batch(any_model):
    images = photos((60, 90), (90, 60), (200, 200), (60, 90), (57, 190))
    tested = rater(any_model)
    alone = torch.cat([tested.rate([image]).logits for image in images])
    for batch_size in (2, 5):
        together = rater(any_model, batch_size=batch_size).rate(images).logits
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_only_the_last_position_is_computed_and_no_cache_is_kept(any_model):
    tested, seen = rater(any_model), []
    hook = tested.vlm.model.register_forward_hook(lambda module, args, output: seen.append(output))
    tested.rate(photos((60, 90), (60, 90)))
    hook.remove()
    assert [output.logits.shape[:2] for output in seen] == [(2, 1)]
    assert seen[0].past_key_values is None


def test_float_images_are_rated_like_their_png(llava):
    tensor = torch.rand(3, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    arrays = (tensor.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    tested = rater(llava)
    assert torch.equal(tested.rate(tensor).logits, tested.rate(list(arrays)).logits)
    assert torch.equal(
        tested.rate(tensor).logits, tested.rate(torch.from_numpy(arrays).permute(0, 3, 1, 2)).logits
    )


def test_an_image_with_nan_has_no_rating(llava):
    tensor = torch.rand(3, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    whole = rater(llava).rate(tensor).rating
    tensor[1, 2, 5, 5] = torch.nan
    assert rater(llava).rate(tensor).rating.isnan().tolist() == [False, True, False]
    assert torch.equal(rater(llava).rate(tensor).rating[[0, 2]], whole[[0, 2]])


def test_a_model_with_broken_weights_rates_nothing_and_does_not_crash(llava, tmp_path):
    folder = Path(shutil.copytree(llava, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    next(value for name, value in weights.items() if "lm_head" in name)[:] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert rater(folder).rate(photos((40, 40))).rating.isnan().all()


def test_autocast_and_gradients_of_a_training_loop_do_not_affect_the_rater(llava):
    tensor = torch.rand(2, 3, 64, 48, requires_grad=True)
    plain = rater(llava).rate(tensor)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rater(llava).rate(tensor).logits, plain.logits)
    assert not plain.rating.requires_grad and not plain.rating.is_inference()


def test_an_empty_list_has_no_ratings(llava):
    assert rater(llava).rate([]).rating.shape == (0,)


def test_images_of_another_type_are_refused(llava):
    with pytest.raises(ValueError, match="uint8 RGB"):
        rater(llava).rate([np.zeros((8, 8, 4), np.uint8)])


# Inputs


def test_reused_text_inputs_equal_those_of_the_whole_processor(any_model):
    question = build_rater({"model": str(any_model)}).vlm.question("Rate the image .")
    sizes = ((60, 90), (90, 60), (120, 40))
    for seed, size in enumerate(sizes * 2):  # the second time, only the pixels are processed
        images = inputs.to_uint8(photos(size, size, size, seed=seed))
        short, whole = question(images), question.whole(images)
        assert short.keys() == whole.keys()
        assert all(torch.equal(short[key], whole[key]) for key in whole)


def test_the_question_is_tokenised_once_per_size(any_model):
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(any_model)
    question = inputs.QuestionInputs(processor, inputs.chat(processor, "Rate the image ."))
    images = inputs.to_uint8(photos((60, 90)))
    first = question(images)
    processor.tokenizer = None
    assert torch.equal(question(images * 3)["input_ids"], first["input_ids"].expand(3, -1))


def test_a_processor_that_changes_pixels_is_always_used_whole(llava):
    from transformers import LlavaProcessor

    class Doubling(LlavaProcessor):
        def __call__(self, *args, **kwargs):
            inputs = super().__call__(*args, **kwargs)
            inputs["pixel_values"] = inputs["pixel_values"] * 2
            return inputs

    processor = Doubling.from_pretrained(llava)
    question = inputs.QuestionInputs(processor, inputs.chat(processor, "Rate the image ."))
    for seed in range(3):
        images = inputs.to_uint8(photos((60, 90), seed=seed))
        assert torch.equal(question(images)["pixel_values"], question.whole(images)["pixel_values"])


def test_padding_to_a_square_centres_on_the_mean_colour():
    image = inputs.to_uint8(photos((5, 8)))[0]
    square = inputs.pad_to_square(image, (0.5, 0.2, 0.999))
    assert square.shape == (3, 8, 8)
    assert torch.equal(square[:, 1:6], image)
    assert square[:, 0].unique(dim=1).flatten().tolist() == [127, 51, 254]
    assert torch.equal(square[:, 0], square[:, 7])


def test_padding_to_a_square_keeps_the_sides_of_an_image(llava):
    from wxr_plugin.vlm.catalog import ModelEntry
    from wxr_plugin.vlm.transformers_vlm import TransformersVLM

    images = photos((60, 120), (60, 120))
    images[1][:, 30:90] = images[0][
        :, 30:90
    ]  # only the sides differ, which a centre crop throws away
    seen = {}
    for square in (False, True):
        vlm = TransformersVLM(ModelEntry(str(llava), pad_to_square=square))
        seen[square] = vlm.question("Rate the image .")(inputs.to_uint8(images))["pixel_values"]
    assert torch.equal(*seen[False][:, :, 5:-5, 5:-5]) and not torch.equal(*seen[True])


def test_every_listed_model_is_a_hub_id_or_packaged():
    names = list(catalog.read_data("models.yml"))
    assert {"tiny", "llava-1.6-34b", "internvl3-8b", "qwen2.5-vl-7b", "qwen3-vl-8b"} <= set(names)
    entries = {name: find_model(name) for name in names}
    assert all(
        Path(e.model).is_dir() if n == "tiny" else e.model.count("/") == 1
        for n, e in entries.items()
    )
    assert len({entry.model.lower() for entry in entries.values()}) == len(entries)


def test_the_system_message_and_the_published_prompts_reach_the_model(llava):
    entry = find_model("llava-1.5-7b")
    from transformers import AutoProcessor

    text = inputs.chat(
        AutoProcessor.from_pretrained(llava), prompt_text("rating", "visibility"), entry.system
    )
    assert text == (
        "A chat between a curious human and an artificial intelligence assistant. The assistant "
        "gives helpful, "
        "detailed, and polite answers to the human's questions. USER: <image>\nRate the visibility "
        "of the image "
        "against rain, fog, and snow. Please answer with excellent, good, fair, poor, or bad. "
        "ASSISTANT:"
    )


# Descriptions


def test_descriptions_are_the_greedy_continuation_without_the_question(any_model):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(any_model)
    model = AutoModelForImageTextToText.from_pretrained(any_model).eval()
    images = photos((60, 90), (90, 60), (60, 90))
    text = inputs.chat(processor, prompt_text("description", "describe"))
    expected = []
    for image in images:
        given = dict(
            processor(
                images=[torch.from_numpy(image).permute(2, 0, 1)], text=[text], return_tensors="pt"
            )
        )
        start, marks = (
            given["input_ids"].shape[1],
            {k: v for k, v in given.items() if k.startswith("mm_")},
        )
        for _ in range(5):
            with torch.no_grad():
                token = model(**given).logits[:, -1:].argmax(-1)
            given["input_ids"] = torch.cat([given["input_ids"], token], 1)
            given["attention_mask"] = torch.ones_like(given["input_ids"])
            for key in marks:
                given[key] = torch.cat([given[key], torch.zeros_like(token)], 1)
            if token.item() == 2:
                break
        expected.append(
            processor.tokenizer.decode(
                given["input_ids"][0, start:], skip_special_tokens=True
            ).strip()
        )
    assert build_describer({"model": str(any_model), "max_tokens": 5}).describe(images) == expected


# Provenance


def test_provenance_contains_everything_that_a_rating_depends_on(llava, tmp_path):
    first = rater(llava).provenance
    assert first == rater(llava).provenance
    assert rater(llava, prompt="quality").provenance["prompt"] != first["prompt"]
    assert rater(llava, dtype="bfloat16").provenance["dtype"] == "bfloat16"
    weights = Path(shutil.copytree(llava, tmp_path / "weights"))
    values = load_file(weights / "model.safetensors")
    next(iter(values.values())).view(-1)[0] += 1
    save_file(values, weights / "model.safetensors", {"format": "pt"})
    assert rater(weights).provenance["weights"] != first["weights"]
    config = Path(shutil.copytree(llava, tmp_path / "config"))
    settings = json.loads((config / "processor_config.json").read_text())
    settings["image_processor"]["image_mean"] = [0.5, 0.5, 0.5]
    (config / "processor_config.json").write_text(json.dumps(settings))
    assert rater(config).provenance["preprocessing"] != first["preprocessing"]


def test_a_cached_snapshot_is_used_without_a_network_and_identified_by_its_commit(
    llava, tmp_path, monkeypatch
):
    def unreachable(*args, **kwargs):
        raise ConnectionError("Name or service not known")

    commit, repository = (
        "0123456789abcdef0123456789abcdef01234567",
        tmp_path / "models--nobody--something",
    )
    shutil.copytree(llava, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    tested = rater("nobody/something")
    images = photos((60, 90))
    assert torch.equal(tested.rate(images).logits, rater(llava).rate(images).logits)
    assert (
        tested.provenance["model"] == "nobody/something"
        and tested.provenance["weights"] == f"commit:{commit}"
    )


def test_provenance_does_not_change_when_a_folder_is_moved(llava, tmp_path):
    moved = Path(shutil.copytree(llava, tmp_path / llava.name))
    (moved / "README.md").write_text("notes")
    assert rater(moved).provenance == rater(llava).provenance


# Quantisation


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "linear"), [("8bit", "Linear8bitLt"), ("4bit", "Linear4bit")])
def test_quantised_weights_have_similar_ratings_and_another_provenance(bits, linear):
    whole, quantised = build_rater(), build_rater({"quantization": bits})
    assert linear in {type(module).__name__ for module in quantised.vlm.model.modules()}
    images = [packaged.coffee(), add_fog(packaged.coffee(), 0.6), add_fog(packaged.coffee(), 0.9)]
    ratings = whole.rate(images).rating
    assert ratings.max() - ratings.min() > 2
    torch.testing.assert_close(quantised.rate(images).rating, ratings, atol=0.3, rtol=0)
    assert quantised.provenance["quantization"] == bits and "quantization" not in whole.provenance
    assert build_describer({"quantization": bits}).describe(
        images[-1:]
    ) == build_describer().describe(images[-1:])


def add_fog(image, share):
    return (image * (1 - share) + 220 * share).astype(np.uint8)


# What a person may get wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "lava-1.5-7b"},
            "unknown vision-language model 'lava-1.5-7b'.*did you mean llava-1.5-7b",
        ),
        ({"prompt": "visibilty"}, "unknown rating prompt 'visibilty'; did you mean visibility"),
        ({"modle": "tiny"}, "unknown field `modle`.*keys: .*type, model, prompt"),
        ({"batch_size": 0}, "batch_size"),
        (
            {"type": "TransformerRater"},
            "unknown rater type 'TransformerRater'; did you mean TransformersRater",
        ),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
    ],
)
def test_wrong_options_are_one_line_with_the_nearest_names(options, message):
    with pytest.raises(WxrError, match=message) as caught:
        build_rater(options)
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_downloaded_is_one_line_with_advice(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("Name or service not known\nmore")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    with pytest.raises(
        WxrError, match=r"cannot get the model 'nobody/nothing'.*Name or service.*give its folder"
    ) as caught:
        rater("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_folders_that_are_not_such_models_are_refused(llava, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WxrError, match=r"cannot load .*empty.*save_pretrained"):
        rater(tmp_path / "empty")
    with pytest.raises(WxrError, match="has no chat template"):
        rater(small_models.llava(tmp_path / "mute", template=None))
    with pytest.raises(
        WxrError, match=r"chat template of .*textual' leaves the image out: 'USER: Rate"
    ):
        textual = small_models.TEMPLATE.replace("{{ '<image>\n' }}", "")
        rater(small_models.llava(tmp_path / "textual", template=textual))
    with pytest.raises(
        WxrError, match="is an encoder-decoder; take a model that continues its prompt"
    ):
        rater(small_chat_models.florence2(tmp_path / "both"))
    with pytest.raises(WxrError, match="revision 'main' given for the folder"):
        rater(llava, revision="main")


def test_a_model_that_lacks_weights_is_refused_rather_than_filled_at_random(llava, tmp_path):
    folder = Path(shutil.copytree(llava, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "lm_head" in name))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WxrError, match="lacks 1 of the model's weights"):
        rater(folder)
