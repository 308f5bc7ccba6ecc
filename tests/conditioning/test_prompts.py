import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from small_clips import random_clip

from wxr_plugin.conditioning.prompts import (
    LOGIT_SCALE,
    PromptError,
    WeatherPrompts,
    accuracy,
    fit,
    weather_logits,
)
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.losses.weather_prompt_loss import WeatherPromptLoss


@pytest.fixture(scope="module")
def guide():
    return random_clip("random", 0)


def clustered(count: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return unit features around a centre for each weather, `count` of each, and their classes."""
    centres = torch.randn(4, 16, generator=torch.Generator().manual_seed(7))
    classes = torch.repeat_interleave(torch.arange(4), torch.tensor(count))
    noise = torch.randn(len(classes), 16, generator=torch.Generator().manual_seed(seed))
    return F.normalize(centres[classes] + 0.3 * noise, dim=1), classes


@pytest.fixture(scope="module")
def prompts(guide) -> WeatherPrompts:
    return fit(*clustered([40, 40, 40, 5]), guide, range(60), lr=0.01)


def test_learnt_prompts_classify_unseen_photos_also_of_a_rare_class(prompts, guide):
    shares = accuracy(prompts, *clustered([50, 50, 50, 50], seed=1), guide)
    assert list(shares) == [*WEATHERS, "all"]
    assert min(shares.values()) > 0.9


def test_hard_targets_are_soft_targets_of_ones(guide):
    features, classes = clustered([5, 4, 3, 2])
    targets = F.one_hot(classes, 4).float()
    hard, soft = (fit(features, t, guide, range(5), lr=0.01) for t in (classes, targets))
    assert torch.equal(hard.embeddings, soft.embeddings)


def test_soft_targets_of_restored_photos_are_learnt(guide):
    """Learn the shares of a fifth cluster, here those of a restoration with rating 4."""
    features, classes = clustered([40, 40, 40, 40])
    centre = F.normalize(torch.randn(1, 16, generator=torch.Generator().manual_seed(11)), dim=1)
    features = torch.cat([features, centre.expand(40, -1)])
    share = torch.tensor([0.75, 0.25, 0.0, 0.0])
    targets = torch.cat([F.one_hot(classes, 4).float(), share.expand(40, -1)])
    prompts = fit(features, targets, guide, range(150), lr=0.01)
    shares = weather_logits(centre, prompts.features(guide), LOGIT_SCALE).softmax(1)[0]
    torch.testing.assert_close(shares, share, atol=0.12, rtol=0)
    assert accuracy(prompts, *clustered([50, 50, 50, 50], seed=1), guide)["all"] > 0.9


def test_a_class_without_photos_is_named_with_advice(guide):
    with pytest.raises(PromptError, match=r"the class 'haze' has no photos .*--haze a folder"):
        fit(*clustered([4, 4, 0, 4]), guide, range(1), lr=0.01)
    features, classes = clustered([4, 4, 4, 0])
    with pytest.raises(PromptError, match="the class 'snow'"):
        fit(features, F.one_hot(classes, 4).float(), guide, range(1), lr=0.01)


def test_untrained_prompts_do_not_classify(guide):
    untrained = fit(*clustered([4, 4, 4, 4]), guide, range(0), lr=0.01)
    assert accuracy(untrained, *clustered([50, 50, 50, 50], seed=1), guide)["all"] < 0.6


def test_learning_is_repeatable_and_does_not_change_clip(guide):
    before = guide.sha256
    first, second = (
        fit(*clustered([4, 4, 4, 4]), guide, range(3), lr=0.01, seed=5) for _ in range(2)
    )
    assert torch.equal(first.embeddings, second.embeddings)
    assert first.embeddings.shape == (4, 16, guide.width)
    from wxr_plugin.conditioning.clip import hash_weights

    assert hash_weights(guide._model) == before


def test_accuracy_averages_over_the_classes_that_occur(prompts, guide):
    features, classes = clustered([30, 10, 0, 0], seed=2)
    # Clear labelled as rain and rain as clear: all wrong.
    shares = accuracy(prompts, features, 1 - classes, guide)
    assert shares == {"clear": 0.0, "rain": 0.0, "all": 0.0}


def test_prompts_are_read_from_their_file(prompts, guide, tmp_path):
    prompts.save(tmp_path / "prompts.safetensors")
    loaded = WeatherPrompts.load(tmp_path / "prompts.safetensors", guide)
    assert torch.equal(loaded.embeddings, prompts.embeddings)
    assert (loaded.clip, loaded.sha256) == ("random", guide.sha256)
    features = loaded.features(guide)
    assert features.shape == (4, 16) and not features.requires_grad


def test_another_clip_is_refused(prompts, tmp_path):
    another = random_clip("random2", 1)
    prompts.save(tmp_path / "prompts.safetensors")
    with pytest.raises(
        PromptError, match=r"prompts.safetensors were learnt with CLIP 'random'.*'random2'"
    ):
        WeatherPrompts.load(tmp_path / "prompts.safetensors", another)
    with pytest.raises(PromptError, match="learn them again"):
        prompts.features(another)


def test_files_without_prompts_are_named(guide, tmp_path):
    with pytest.raises(
        PromptError, match=r"no weather prompts at .*none.safetensors: make them with"
    ):
        WeatherPrompts.load(tmp_path / "none.safetensors", guide)
    (tmp_path / "text.safetensors").write_text("not tensors")
    with pytest.raises(PromptError, match="not a readable safetensors"):
        WeatherPrompts.load(tmp_path / "text.safetensors", guide)
    safetensors.torch.save_file(
        {"embeddings": torch.zeros(4, 16, 32)}, tmp_path / "other.safetensors"
    )
    with pytest.raises(PromptError, match="does not hold weather prompts"):
        WeatherPrompts.load(tmp_path / "other.safetensors", guide)


def test_the_loss_pulls_an_image_towards_clear(prompts, guide, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "wxr_plugin.conditioning.clip.load_clip", lambda name, device: {"random": guide}[name]
    )
    prompts.save(tmp_path / "prompts.safetensors")
    loss = WeatherPromptLoss(
        str(tmp_path / "prompts.safetensors"), clip="random", logit_scale=1.0, loss_weight=0.2
    )
    image = torch.full((2, 3, 40, 40), 0.5, requires_grad=True)
    before = loss(guide.encode_image(image))
    before.backward()
    moved = image - 0.5 * image.grad / image.grad.abs().max()
    assert loss(guide.encode_image(moved)) < before
    assert not list(loss.parameters()) and not loss.state_dict()
