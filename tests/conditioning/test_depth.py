import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import load_file, save_file
from torchvision.transforms.v2.functional import gaussian_blur

from wxr_plugin.conditioning.depth import TINY, DepthError, DepthGuide, fit, load_depth
from wxr_plugin.data.weather.synthesis import KINDS, add_weather
from wxr_plugin.errors import WxrError


@pytest.fixture(scope="module")
def guide() -> DepthGuide:
    return load_depth("tiny", "cpu")


@pytest.fixture(scope="module")
def no_hub():
    """Replace the model hub by a port without a server."""
    import huggingface_hub.constants as constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        yield


def test_a_guide_is_loaded_once_and_sizes_share_its_module(guide):
    assert load_depth("tiny", torch.device("cpu")) is guide
    resized = load_depth("tiny", "cpu", size=42)
    assert resized is not guide and resized._backbone is guide._backbone
    assert resized.sha256 == guide.sha256


def test_it_is_frozen(guide):
    assert not any(module.training for module in guide._backbone.modules())
    assert not any(parameter.requires_grad for parameter in guide._backbone.parameters())


@pytest.mark.parametrize(
    ("size", "tokens"), [((1, 1), 1), ((128, 128), 81), ((50, 100), 28), ((22, 20), 2)]
)
def test_a_token_for_each_patch_of_images_of_any_size(guide, size, tokens):
    encoded = guide.encode(torch.rand(2, 3, *size))
    assert encoded.shape == (2, tokens, 96) and encoded.isfinite().all()


def test_fit_rounds_to_whole_patches():
    assert fit(128, 128, 14) == (126, 126)
    assert fit(480, 321, 14) == (476, 322)
    assert fit(3, 40, 14) == (14, 42)
    # 640 * 518 / 480 = 690.7, and 49 patches are nearest to it.
    assert fit(480, 640, 14, 518) == (518, 686)
    assert fit(100, 50, 14, 28) == (56, 28)


def test_an_image_of_whole_patches_is_not_resampled_and_size_resizes_others(guide):
    """Compare with transformers: last stage, without the class token, row by row."""
    image = torch.rand(1, 3, 42, 56)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    network = guide._backbone
    with torch.no_grad():
        hidden = network(pixels, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(
        guide.encode(image), network.layernorm(hidden)[:, 1:], rtol=1e-4, atol=1e-5
    )
    assert load_depth("tiny", "cpu", size=28).encode(image).shape[1] == 2 * 3


def test_tokens_run_row_by_row(guide):
    image = torch.zeros(1, 3, 28, 42)
    brighter = image.clone()
    brighter[..., 14:, :14] = 1  # second row, first column: token 3 of 6
    moved = (guide.encode(brighter) - guide.encode(image)).norm(dim=2)[0]
    assert moved.argmax() == 3


def test_gradients_reach_the_image_and_no_weight(guide):
    image = (0.25 + 0.5 * torch.rand(2, 3, 50, 70)).requires_grad_()
    guide.encode(image)[..., 0].sum().backward()
    assert (image.grad.abs().amax(dim=1) > 0).float().mean() > 0.9
    assert all(parameter.grad is None for parameter in guide._backbone.parameters())


def test_values_beyond_the_range_are_clamped(guide):
    image = torch.randn(1, 3, 28, 28)
    assert torch.equal(guide.encode(image), guide.encode(image.clamp(0, 1)))


def test_a_folder_and_a_backbone_alone(guide, tmp_path):
    """Load the same weights from a folder, and a plain DINOv2 without neck and head."""
    from transformers import Dinov2Backbone, Dinov2Config

    assert load_depth(str(TINY), "cpu").sha256 == guide.sha256
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Backbone(config).save_pretrained(tmp_path / "dino")
    bare = load_depth(str(tmp_path / "dino"), "cpu")
    assert bare.encode(torch.rand(1, 3, 42, 28)).shape == (1, 6, 32)
    assert bare.sha256 != guide.sha256


def test_names_that_cannot_be_loaded(tmp_path, no_hub):
    with pytest.raises(
        DepthError,
        match=r"unknown depth encoder 'huge': take tiny, depth-anything-small, .* hub id",
    ):
        load_depth("huge", "cpu")
    with pytest.raises(DepthError, match="holds neither a Depth Anything nor"):
        load_depth(str(tmp_path), "cpu")
    with pytest.raises(
        WxrError, match=r"cannot get the model 'LiheYoung/depth-anything-small-hf'.*download it"
    ):
        load_depth("depth-anything-small", "cpu")


def test_a_file_that_lacks_weights_is_refused(tmp_path):
    for file in TINY.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["backbone.layernorm.bias"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(DepthError, match=r"lacks 1 of its weights \(backbone.layernorm.bias"):
        load_depth(str(tmp_path), "cpu")


class TestTiny:
    """Properties that L_feat needs of the packaged encoder, on unseen photos of scikit-image."""

    @pytest.fixture(scope="class")
    def photos(self) -> torch.Tensor:
        names = ("astronaut", "chelsea", "coffee", "rocket")
        squares = [getattr(skimage.data, name)()[100:296, 100:296] for name in names]
        return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2) / 255

    def moved(self, guide, changed, photos) -> torch.Tensor:
        """Return 1 - cos, mean over patches: (N,)."""
        cosines = torch.cosine_similarity(guide.encode(changed), guide.encode(photos), dim=-1)
        return (1 - cosines).mean(-1)

    def test_noise_blur_and_a_green_cast_are_seen(self, guide, photos):
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(photos.shape, generator=generator)
        weak, noisy, strong = (
            self.moved(guide, photos + sigma * noise, photos) for sigma in (0.02, 0.05, 0.1)
        )
        assert (weak < noisy).all() and (noisy < strong).all()
        between_photos = self.moved(guide, photos.roll(1, 0), photos).mean()
        assert noisy.mean() > 0.1 * between_photos
        blurred = torch.stack([gaussian_blur(photo, 9, 1.5) for photo in photos])
        cast = photos + torch.tensor([-0.05, 0.05, -0.05]).view(1, 3, 1, 1)
        for change in (blurred, cast):
            assert self.moved(guide, change, photos).mean() > 0.03 * between_photos

    @pytest.mark.parametrize("kind", KINDS)
    def test_weather_leaves_a_photo_nearer_to_itself_than_to_others(self, guide, photos, kind):
        arrays = photos.permute(0, 2, 3, 1).contiguous().numpy()
        weathered = [
            add_weather(photo, kind, 0.5, np.random.default_rng(seed))
            for seed, photo in enumerate(arrays)
        ]
        weathered = torch.from_numpy(np.stack(weathered)).permute(0, 3, 1, 2)
        own = self.moved(guide, weathered, photos)
        for shift in (1, 2, 3):
            assert (own < self.moved(guide, weathered, photos.roll(shift, 0))).all()

    def test_gradient_descent_removes_noise(self, guide, photos):
        """Take ten Adam steps on the pixels of noisy photos: each approaches its clean photo."""
        noise = 0.05 * torch.randn(photos.shape, generator=torch.Generator().manual_seed(0))
        noisy = (photos + noise).clamp(0, 1)
        restored = noisy.clone().requires_grad_()
        optimizer = torch.optim.Adam([restored], 0.002)
        for _ in range(10):
            optimizer.zero_grad()
            self.moved(guide, restored, photos).sum().backward()
            optimizer.step()
        before, after = (
            (image - photos).square().flatten(1).mean(1) for image in (noisy, restored.detach())
        )
        assert (after < 0.99 * before).all()
