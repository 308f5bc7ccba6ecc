"""DA-CLIP: published names and values, the untrained controller, and the guide."""

from pathlib import Path

import parity
import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from small_clips import SMALL_VIT, TEXT, packaged, small, trained
from torch import nn

from wxr_plugin.conditioning import daclip_towers
from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.daclip import DaCLIP, DaClipGuide
from wxr_plugin.conditioning.daclip_towers import DaClipError, run_controlled, run_controller
from wxr_plugin.data.degradations.words import DEGRADATIONS

PARITY = Path(__file__).parents[1] / "parity"
B32 = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {**TEXT, "width": 512, "heads": 8, "layers": 12},
}
L14 = {
    "embed_dim": 768,
    "vision_cfg": {"image_size": 224, "layers": 24, "width": 1024, "patch_size": 14},
    "text_cfg": {**TEXT, "width": 768, "heads": 12, "layers": 12},
}


def everything(model: DaCLIP, inputs: dict) -> dict:
    content, degradation = model.encode_image(inputs["image"], control=True)
    plain = model.encode_image(inputs["image"])
    return {
        "content": content,
        "degra": degradation,
        "plain": plain,
        **model(inputs["image"], inputs["text"]),
    }


def unfilled(config: dict) -> DaCLIP:
    """Build a DA-CLIP without initial weights, which the fixture overwrites anyway."""
    with torch.device("meta"):
        model = DaCLIP(CLIP(**config))
    model.to_empty(device="cpu")
    length = config["text_cfg"]["context_length"]
    # The mask is a buffer that is not part of the state dict.
    model.clip.attn_mask = torch.full((length, length), float("-inf")).triu(1)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), [("vit_b_32", B32), ("vit_l_14", L14)])
def test_outputs_equal_those_of_the_published_code(name, config):
    """Compare the fixtures; ViT-L/14 needs 3 GB and half a minute on one core."""
    parity.check(unfilled(config), PARITY / f"daclip_{name}.json", call=everything)


def test_parity_depends_on_the_order_of_the_hidden_states(monkeypatch):
    """Reverse the hidden states of a small ViT, which has to change the output."""
    model = parity.fill(small())
    images = model.prepare(torch.rand(1, 3, 32, 32))
    with torch.no_grad():
        published = model.encode_image(images, control=True)[0]
        monkeypatch.setattr(daclip_towers, "VIT", daclip_towers.VIT._replace(reverse=False))
        assert not torch.allclose(published, model.encode_image(images, control=True)[0], rtol=1e-2)


@pytest.mark.parametrize("make", [small, packaged])
def test_an_untrained_controller_changes_nothing(make):
    model = make().eval()
    images = model.prepare(torch.rand(2, 3, 40, 50))
    with torch.no_grad():
        plain = model.encode_image(images)
        content, degradation = model.encode_image(images, control=True)
    torch.testing.assert_close(content, plain)
    torch.testing.assert_close(degradation, plain)


@pytest.mark.parametrize("make", [small, packaged])
def test_the_controller_steers_the_content_but_not_itself(make):
    before, model = make().eval(), trained(make()).eval()
    images = model.prepare(torch.rand(2, 3, 40, 50))
    with torch.no_grad():
        content, degradation = model.encode_image(images, control=True)
        assert torch.equal(degradation, before.encode_image(images, control=True)[1])
        assert not torch.allclose(content, before.encode_image(images))


def test_the_last_hidden_state_of_a_vit_is_added_after_the_first_block():
    """Let only the last block have a hidden state; the frozen tower's second block must get it."""
    model = small().eval()
    nn.init.constant_(model.visual_control.transformer.zero_modules[-1].bias, 0.5)
    images = model.prepare(torch.rand(1, 3, 32, 32))
    seen = []
    model.visual.transformer.resblocks[1].register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    with torch.no_grad():
        model.encode_image(images)
        model.encode_image(images, control=True)
    torch.testing.assert_close(seen[1], seen[0] + 0.5)


def test_a_resnet_adds_each_hidden_state_after_the_same_stage():
    model = packaged().eval()
    images = model.prepare(torch.rand(1, 3, 128, 128))
    _, hidden = run_controller(model.visual_control, images)
    first_stage = model.visual.layer1(model.visual.stem(images))
    assert hidden[0].shape == first_stage.shape and len(hidden) == 4
    ones = [torch.full_like(hidden[0], 0.5), *(torch.zeros_like(h) for h in hidden[1:])]
    seen = []
    model.visual.layer2.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].clone())
    )
    with torch.no_grad():
        run_controlled(model.visual, images, ones)
        torch.testing.assert_close(seen[0], first_stage + 0.5)


def test_only_the_controller_and_the_scale_are_trained():
    model = trained(small()).train()
    tokens = (
        model.tokenize(["a cat", "a dog", "hazy", "rainy"])
        .view(2, 2, -1)
        .transpose(0, 1)
        .reshape(2, -1)
    )
    outputs = model(model.prepare(torch.rand(2, 3, 32, 32)), tokens)
    cosines = outputs["image_features"] @ outputs["text_features"].T
    (cosines * outputs["logit_scale"]).square().sum().backward()
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {
        n for n, _ in model.named_parameters() if n.startswith("visual_control.")
    } | {"logit_scale"}
    # The content depends on the controller through the frozen tower; the head of the controller
    # is used for the degradation only.
    assert "visual_control.transformer.zero_modules.0.weight" in learning
    assert "visual_control.proj" not in learning
    assert not any(name.startswith("clip.") for name in learning)


def test_halves_of_the_tokens_are_caption_and_degradation():
    model = small().eval()
    caption, word = model.tokenize(["a cat on a mat"]), model.tokenize(["hazy"])
    with torch.no_grad():
        outputs = model(model.prepare(torch.rand(1, 3, 32, 32)), torch.cat((caption, word), dim=1))
        torch.testing.assert_close(
            outputs["text_features"], model.encode_text(caption, normalize=True)
        )
        torch.testing.assert_close(
            outputs["text_degra_features"], model.encode_text(word, normalize=True)
        )
    assert all(
        torch.allclose(v.norm(dim=-1), torch.ones(1))
        for k, v in outputs.items()
        if k != "logit_scale"
    )


def test_frozen_statistics_stay_in_training():
    model = packaged().train()
    before = {key: value.clone() for key, value in model.state_dict().items() if "running" in key}
    model.encode_image(model.prepare(torch.rand(4, 3, 64, 64)), control=True)
    assert before and all(
        torch.equal(value, model.state_dict()[key]) for key, value in before.items()
    )


def test_photos_are_resized_by_their_short_side_and_cropped_at_the_centre():
    model = small()
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 32, 64)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in model_statistics())
    prepared = model.prepare(ramp) * std + mean
    # The short side has the right size already.
    torch.testing.assert_close(prepared, ramp[..., 16:48])
    assert model.prepare(torch.rand(1, 3, 97, 45)).shape == (1, 3, 32, 32)


def model_statistics():
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return OPENAI_DATASET_MEAN, OPENAI_DATASET_STD


def test_preparing_equals_pil_except_for_rounding():
    """Compare with the published transform, torchvision's on an 8-bit PIL image."""
    from torchvision.transforms import v2
    from torchvision.transforms.functional import to_pil_image

    pixels = torch.randint(
        64, 192, (3, 83, 61), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    published = v2.Compose(
        [v2.Resize(32, v2.InterpolationMode.BICUBIC), v2.CenterCrop(32), v2.PILToTensor()]
    )
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in model_statistics())
    ours = small().prepare(pixels[None] / 255) * std + mean
    assert (ours[0] * 255 - published(to_pil_image(pixels)).float()).abs().max() < 1.5


def test_the_guide_returns_tensors_that_training_can_use():
    guide = DaClipGuide(trained(packaged()), "mine", "cpu")
    head = nn.Linear(guide.dim, 1)
    context = guide.embed(torch.rand(2, 3, 50, 70))
    assert context.content.shape == context.degradation.shape == (2, guide.dim)
    assert context.content.dtype == torch.float32 and not context.content.requires_grad
    head(context.content).sum().backward()
    assert head.weight.grad.abs().sum() > 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.manual_seed(0)
        image = torch.rand(2, 3, 50, 70)
        inside = guide.embed(image)
    assert torch.equal(inside.content, guide.embed(image).content)
    low = guide.embed(image, bf16=True).content
    assert low.dtype == torch.float32 and not torch.equal(low, inside.content)
    assert F.cosine_similarity(low, inside.content).min() > 0.98


def test_the_classifier_is_a_softmax_of_cosines():
    guide = DaClipGuide(trained(packaged()), "mine", "cpu")
    images = torch.rand(3, 3, 64, 64)
    outputs = guide.classify(images)
    assert outputs.shape == (3, len(DEGRADATIONS)) and torch.allclose(outputs.sum(1), torch.ones(3))
    degradation = F.normalize(guide.embed(images).degradation, dim=-1)
    words = load_clip("tiny").encode_text(["hazy", "rainy"])
    expected = (100 * degradation @ words.T).softmax(1)
    torch.testing.assert_close(
        guide.classify(images, ["hazy", "rainy"]), expected, atol=1e-4, rtol=1e-3
    )
    with pytest.raises(DaClipError, match="one word or more"):
        guide.classify(images, [])


def test_a_foreign_tower_is_refused():
    clip = CLIP(**SMALL_VIT)
    clip.visual = nn.Linear(2, 2)
    with pytest.raises(DaClipError, match="tower is a Linear"):
        DaCLIP(clip)
