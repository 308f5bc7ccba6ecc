import json
import logging

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import load_file

from wxr_plugin.conditioning.clip import TINY, ClipError, load_clip, zero_shot
from wxr_plugin.data.weather.synthesis import WEATHERS, add_weather

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


@pytest.fixture(scope="module")
def guide():
    return load_clip("tiny", "cpu")


def test_it_is_loaded_once_per_process(guide):
    assert load_clip("tiny", torch.device("cpu")) is guide


def test_it_is_frozen(guide):
    modules = list(guide._model.modules())
    assert not any(module.training for module in modules)
    assert not any(parameter.requires_grad for parameter in guide._model.parameters())


def test_gradients_reach_the_image_and_no_weight(guide):
    image = torch.rand(2, 3, 50, 70, requires_grad=True)
    features = guide.encode_image(image)
    assert torch.allclose(features.norm(dim=1), torch.ones(2), atol=1e-5)
    features[:, 0].sum().backward()
    assert image.grad.abs().mean() > 0
    assert all(parameter.grad is None for parameter in guide._model.parameters())


@pytest.mark.parametrize("size", [(1, 1), (37, 300), (128, 128)])
def test_any_size(guide, size):
    assert guide.encode_image(torch.rand(1, 3, *size)).isfinite().all()


def test_values_beyond_the_range_are_clamped(guide):
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(guide.encode_image(image), guide.encode_image(image.clamp(0, 1)))


def test_a_prompt_of_word_embeddings_is_the_text(guide):
    for text in ("heavy rain", "a photo in clear weather and good visibility"):
        tokens = guide.tokenize([text])[0]
        words = tokens[1 : int(tokens.argmax())]  # the end token has the highest id
        prompt = guide.encode_prompts(guide.embed_tokens(words)[None])
        assert torch.allclose(prompt, guide.encode_text([text]), atol=1e-5)


def test_gradients_reach_the_prompt(guide):
    prompts = torch.randn(4, 16, guide.width, requires_grad=True)
    guide.encode_prompts(prompts)[:, 0].sum().backward()
    assert (prompts.grad.abs().amax(dim=(1, 2)) > 0).all()


def test_prompts_that_do_not_fit(guide):
    with pytest.raises(
        ClipError, match=f"at most {guide.context_length - 2} vectors of length {guide.width}"
    ):
        guide.encode_prompts(torch.zeros(1, guide.context_length - 1, guide.width))
    with pytest.raises(ClipError, match="of length 3"):
        guide.encode_prompts(torch.zeros(1, 4, 3))


def test_unknown_words_are_spelt(guide):
    features = guide.encode_text(["ein Löwe im Zoo 7", "snow", " ".join(["rain"] * 200)])
    assert features.shape[0] == 3 and features.isfinite().all()


def test_long_texts_are_cut_at_a_word_and_logged_once(guide, caplog, monkeypatch):
    monkeypatch.setattr("wxr_plugin.conditioning.long_texts._LOGGED", set())
    text = (
        "a street with parked cars and people under umbrellas in heavy rain , wet asphalt and "
        "lamps " * 4
    )
    words = text.split()
    counts = [len(guide._tokenizer.encode(" ".join(words[:n]))) for n in range(len(words))]
    fitting = max(n for n, count in enumerate(counts) if count + 2 <= guide.context_length)
    # Not full, so the next word would be cut in its middle.
    assert counts[fitting] + 2 < guide.context_length
    with caplog.at_level(logging.WARNING, "basicsr"):
        tokens = guide.tokenize(["heavy rain", text, text])
    assert torch.equal(tokens, guide.tokenize(["heavy rain", *[" ".join(words[:fitting])] * 2]))
    assert [record.message for record in caplog.records] == [
        "CLIP 'tiny' reads texts of 32 tokens; longer ones are cut at a word (not logged again), "
        f"the first: '{text[:60]}…'"
    ]


def test_a_text_that_just_fits_is_unchanged(guide, caplog):
    letters = " ".join("x" * (guide.context_length - 2))
    with caplog.at_level(logging.WARNING, "basicsr"):
        tokens = guide.tokenize([letters])
    assert not caplog.records and tokens[0, -1] == guide._tokenizer.eot_token_id
    assert torch.equal(guide.tokenize([letters + " y"]), tokens)


def test_a_word_that_is_too_long_is_cut(guide):
    tokens = guide.tokenize(["7" * 100, ""])
    assert tokens[0, -1] == guide._tokenizer.eot_token_id and (tokens[0] > 0).all()
    assert guide.encode_text([]).shape[0] == 0


def test_zero_shot_on_unseen_photos(guide):
    """Follow the model card: four photos of scikit-image, severity in [0.25, 1], three draws."""
    correct = []
    for index, name in enumerate(PHOTOS):
        photo = getattr(skimage.data, name)()[::2, ::2].astype(np.float32) / 255
        for draw in range(3):
            rng = np.random.default_rng((index, draw))
            views = [add_weather(photo, kind, rng.uniform(0.25, 1), rng) for kind in WEATHERS]
            images = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)
            probabilities = zero_shot(guide, images)
            assert torch.allclose(probabilities.sum(1), torch.ones(4), atol=1e-5)
            correct += (probabilities.argmax(1) == torch.arange(4)).tolist()
    assert np.mean(correct) >= 0.7


def test_any_architecture_with_a_local_file(guide, tmp_path):
    """Load an open_clip model by name with weights in another format: same features, same hash."""
    import open_clip

    config = json.loads((TINY / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "Test-RN.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    torch.save(load_file(TINY / "open_clip_model.safetensors"), tmp_path / "weights.pt")
    loaded = load_clip(f"Test-RN:{tmp_path / 'weights.pt'}", "cpu")
    image = torch.rand(1, 3, 128, 128)
    assert loaded.sha256 == guide.sha256 and loaded is not guide
    assert torch.allclose(loaded.encode_image(image), guide.encode_image(image), atol=1e-4)


def test_the_hash_depends_on_the_weights(guide, tmp_path):
    folder = tmp_path / "changed"
    folder.mkdir()
    for file in TINY.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "open_clip_model.safetensors")
    weights["ln_final.bias"][0] += 1
    torch.save(weights, folder / "open_clip_model.pth")
    (folder / "open_clip_model.safetensors").unlink()
    (folder / "open_clip_model.pth").rename(folder / "open_clip_pytorch_model.bin")
    assert load_clip(f"local-dir:{folder}", "cpu").sha256 != guide.sha256


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("huge", "unknown CLIP 'huge': take tiny, or ARCHITECTURE:WEIGHTS"),
        ("ViT-B-32", "'ViT-B-32' has no such weights: .* one of openai"),
        ("ViT-B-32:/nowhere/file.pt", "put a file, or one of openai"),
        ("local-dir:/nowhere", "cannot be loaded: .*/nowhere"),
    ],
)
def test_names_that_cannot_be_loaded(name, message):
    with pytest.raises(ClipError, match=message):
        load_clip(name, "cpu")
