"""Every kind of image comes back as the kind that it was, restored by a network that halves it."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from wxr_plugin.api import Model, Restored, WxrError
from wxr_plugin.api.images import eight_bit_rgb
from wxr_plugin.data.images.photo import read_photo
from wxr_plugin.inference.restorer import Restorer

RNG = np.random.default_rng(0)
EXIF_ORIENTATION = 0x0112


class Half(nn.Module):
    def forward(self, lq):
        return lq / 2


@pytest.fixture(scope="module")
def half():
    return Model(Restorer(Half(), "cpu"), "half")


def levels(shape, dtype):
    if np.issubdtype(dtype, np.floating):
        return RNG.random(shape).astype(dtype)
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 2), (9, 7, 3), (9, 7, 4)])
def test_an_array_keeps_its_shape_type_and_opacity(half, shape, dtype):
    array = levels(shape, np.dtype(dtype))
    before = array.copy()
    result = half(array)
    assert result.shape == shape and result.dtype == array.dtype
    assert np.array_equal(array, before), "the caller's array is changed"
    step = 1 if array.dtype.kind == "u" else 1e-3
    has_opacity = len(shape) == 3 and shape[2] in (2, 4)
    colours = slice(0, -1) if has_opacity else slice(None)
    if has_opacity:
        assert np.allclose(result[..., -1].astype(float), array[..., -1].astype(float), atol=1e-6)
    view = (Ellipsis, colours) if len(shape) == 3 else Ellipsis
    assert np.abs(result[view].astype(float) - array[view].astype(float) / 2).max() <= step


def test_16_bits_are_not_rounded_to_8(half):
    array = np.full((4, 4, 3), 1001, np.uint16)
    assert set(half(array).ravel()) <= {500, 501}


def test_arrays_of_any_strides_and_read_only_ones_are_taken(half):
    whole = levels((8, 12, 3), np.dtype("uint8"))
    for view in (whole[::-1, ::2], whole[..., ::-1], whole.transpose(1, 0, 2)):
        assert np.array_equal(half(view), half(np.ascontiguousarray(view)))
    whole.flags.writeable = False
    assert half(whole).shape == whole.shape


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
def test_a_tensor_keeps_its_shape_and_type(half, dtype):
    values = torch.rand(3, 6, 5)
    tensor = (values * 255).to(dtype) if dtype == torch.uint8 else values.to(dtype)
    result = half(tensor.requires_grad_() if dtype.is_floating_point else tensor)
    assert result.shape == tensor.shape and result.dtype == dtype and not result.requires_grad
    tolerance = 1 if dtype == torch.uint8 else 0.01
    assert (result.float() - tensor.detach().float() / 2).abs().max() <= tolerance
    batch = torch.stack([tensor.detach(), tensor.detach()])
    assert torch.equal(half(batch)[1], result)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "P", "1", "CMYK"])
def test_an_image_of_pillow_keeps_its_mode_where_it_can(half, mode):
    image = Image.fromarray(levels((6, 5, 3), np.dtype("uint8")))
    if mode == "I;16":
        image = Image.fromarray(levels((6, 5), np.dtype("uint16")))
    image = image if image.mode == mode else image.convert(mode)
    result = half(image)
    expected = mode if mode in ("L", "LA", "RGB", "RGBA", "I;16") else "RGB"
    assert isinstance(result, Image.Image) and (result.mode, result.size) == (expected, image.size)


def test_a_turned_photo_comes_back_upright_once(half, tmp_path):
    pixels = levels((6, 4, 3), np.dtype("uint8"))
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[EXIF_ORIENTATION] = 6
    exif[0x010F] = "maker"
    image.save(tmp_path / "turned.png", exif=exif)
    opened = half(Image.open(tmp_path / "turned.png"))
    named = half(tmp_path / "turned.png")
    assert opened.size == named.size == (6, 4)
    assert np.array_equal(np.asarray(opened), named.pixels)
    named.save(tmp_path / "result.png")
    opened.save(tmp_path / "opened.png", exif=opened.info["exif"])
    for name in ("result.png", "opened.png"):
        written = Image.open(tmp_path / name)
        assert EXIF_ORIENTATION not in written.getexif() and written.getexif()[0x010F] == "maker"


def test_a_path_gives_a_photo_that_keeps_16_bits_and_opacity(half, tmp_path):
    rgba = levels((6, 5, 4), np.dtype("uint16"))
    cv2.imwrite(str(tmp_path / "deep.png"), rgba)
    result = half(str(tmp_path / "deep.png"))
    assert isinstance(result, Restored) and "5x6" in repr(result) and "16 bits" in repr(result)
    assert result.save(tmp_path / "out.png") == tmp_path / "out.png"
    written = read_photo(tmp_path / "out.png")
    assert written.pixels.dtype == np.uint16 and np.array_equal(written.alpha, rgba[..., 3])
    assert np.array_equal(written.pixels, result.pixels[..., :3])
    assert np.asarray(result).shape == (6, 5, 4) and result.image.mode == "RGBA"
    assert result._repr_png_().startswith(b"\x89PNG")


def test_a_list_gives_a_list_of_the_same_kinds(half):
    array = levels((4, 4), np.dtype("uint8"))
    image = Image.new("RGB", (4, 4))
    first, second = half([array, image])
    assert isinstance(first, np.ndarray) and isinstance(second, Image.Image)
    stack = np.stack([array[..., None]] * 3)
    assert half(stack).shape == stack.shape and half([]) == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 8, 9)), "channels come last"),
        (np.zeros((8, 9, 5), np.uint8), "1 to 4 channels"),
        (np.zeros((0, 9, 3), np.uint8), "1 to 4 channels"),
        (np.zeros((8, 9, 3), np.int64), "array of int64"),
        (np.full((8, 9, 3), 200.0), "divide by 255"),
        (np.full((8, 9, 3), -0.5), "scale or clip"),
        (np.full((8, 9, 3), np.nan), "not finite"),
        (torch.zeros(8, 9), "(C, H, W)"),
        (Image.new("F", (4, 4)), "no white level"),
        (5, "int is no image"),
        ("nowhere.jpg", "nowhere.jpg: No such file"),
        (".", "is a folder"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(half, image, words):
    with pytest.raises(WxrError) as caught:
        half(image)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_raters_see_8_bits_over_white():
    clear = np.zeros((2, 2, 4), np.uint8)
    assert eight_bit_rgb(clear).min() == 255
    assert np.array_equal(eight_bit_rgb(np.full((2, 2), 0.5)), np.full((2, 2, 3), 128, np.uint8))
    assert eight_bit_rgb(np.full((2, 2, 3), 65535, np.uint16)).max() == 255
