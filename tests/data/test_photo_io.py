"""Properties of a photo that restoring preserves, from file to file."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data as photos

from wxr_plugin.data.images.io import BadImageError, read_image
from wxr_plugin.data.images.photo import Photo, encode_photo, read_photo, write_photo
from wxr_plugin.errors import WxrError

PHOTO = np.ascontiguousarray(photos.astronaut()[100:180, 100:220])
DEEP = np.random.default_rng(0).integers(0, 65536, (*PHOTO.shape[:2], 3), np.uint16)
ALPHA = np.linspace(0, 255, PHOTO.shape[1]).astype(np.uint8)[None].repeat(len(PHOTO), 0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image, kind, **settings):
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def again(data, suffix):
    """Read a photo, write it as `suffix`, and read it again; return both."""
    photo = read_photo(data)
    return photo, read_photo(encode_photo(photo, suffix))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_come_back_as_they_were(suffix):
    photo, written = again(cv2.imencode(suffix, DEEP)[1].tobytes(), suffix)
    assert np.array_equal(photo.pixels, DEEP[..., ::-1]) and np.array_equal(
        written.pixels, photo.pixels
    )


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_stays_grey(dtype, suffix):
    grey = DEEP[..., 0] if dtype == np.uint16 else PHOTO[..., 0]
    photo, written = again(cv2.imencode(".png", grey)[1].tobytes(), suffix)
    assert (
        photo.grey
        and photo.pixels.shape == (*grey.shape, 3)
        and np.array_equal(photo.pixels[..., 1], grey)
    )
    assert written.grey and np.array_equal(written.pixels, photo.pixels)
    assert (
        cv2.imdecode(
            np.frombuffer(encode_photo(photo, suffix), np.uint8), cv2.IMREAD_UNCHANGED
        ).ndim
        == 2
    )


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_transparency_and_the_colours_below_it_are_kept(suffix):
    photo, written = again(saved(Image.fromarray(np.dstack((PHOTO, ALPHA))), "PNG"), suffix)
    assert np.array_equal(photo.pixels, PHOTO) and np.array_equal(photo.alpha, ALPHA)
    assert np.array_equal(written.alpha, ALPHA)
    assert suffix == ".webp" or np.array_equal(written.pixels, PHOTO)


def test_deep_transparency_is_kept():
    deep = np.dstack((DEEP, DEEP[..., 0]))
    photo, written = again(cv2.imencode(".png", deep)[1].tobytes(), ".png")
    assert np.array_equal(photo.alpha, DEEP[..., 0]) and np.array_equal(written.alpha, photo.alpha)


def test_formats_without_transparency_and_16_bits_get_white_and_8_bits():
    photo = read_photo(
        cv2.imencode(".png", np.dstack((DEEP, np.zeros_like(DEEP[..., 0]))))[1].tobytes()
    )
    assert (read_photo(encode_photo(photo, ".jpg")).pixels == 255).all()
    rounded = read_photo(encode_photo(photo._replace(alpha=None), ".bmp"))
    assert np.array_equal(rounded.pixels, np.round(photo.pixels / 257).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_profile_and_exif_are_kept_and_the_orientation_is_applied(suffix):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    data = saved(Image.fromarray(PHOTO), "JPEG", quality=95, exif=exif, icc_profile=SRGB)
    photo = read_photo(data)
    assert photo.pixels.shape == (120, 80, 3) and np.array_equal(photo.pixels, read_image(data))
    with Image.open(io.BytesIO(encode_photo(photo, suffix))) as written:
        assert written.size == (80, 120) and written.info["icc_profile"] == SRGB
        assert dict(written.getexif()) == {0x010F: "Camera"}


def test_a_profile_that_does_not_fit_is_left_out():
    grey = read_photo(saved(Image.fromarray(PHOTO[..., 0]), "PNG", icc_profile=SRGB))
    cmyk = read_photo(saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", icc_profile=SRGB))
    for photo in (grey, cmyk):
        with Image.open(io.BytesIO(encode_photo(photo, ".png"))) as written:
            assert "icc_profile" not in written.info
    assert cmyk.pixels.shape == PHOTO.shape and not cmyk.grey


def test_palettes_single_bits_and_animations():
    assert not read_photo(saved(Image.fromarray(PHOTO).quantize(16), "PNG")).grey
    bilevel = read_photo(saved(Image.fromarray(PHOTO).convert("1"), "PNG"))
    assert bilevel.grey and set(np.unique(bilevel.pixels)) == {0, 255}
    pages = [Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)]
    for kind in ("PNG", "TIFF", "WEBP"):
        photo = read_photo(saved(pages[0], kind, save_all=True, append_images=pages[1:]))
        assert photo.frames == 2 and np.abs(photo.pixels.astype(int) - PHOTO).mean() < 5


def test_pngs_are_small():
    ours, zlib6 = (
        encode_photo(Photo(PHOTO), ".png"),
        cv2.imencode(".png", PHOTO, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1],
    )
    assert len(ours) < 1.1 * len(zlib6)


def test_files_that_cannot_be_read_or_written_are_named(tmp_path):
    with pytest.raises(BadImageError, match="page: a web page"):
        read_photo(b"<html></html>", "page")
    with pytest.raises(WxrError, match="suffix"):
        write_photo(tmp_path / "a.txt", Photo(PHOTO))
    with pytest.raises(WxrError, match="webp cannot hold 2x16400 pixels"):
        write_photo(tmp_path / "a.webp", Photo(np.zeros((16400, 2, 3), np.uint8)))
    assert not list(tmp_path.iterdir())


def test_a_grey_photo_becomes_a_ppm_of_three_equal_channels(tmp_path):
    photo = Photo(np.repeat(PHOTO[..., :1], 3, axis=2), grey=True)
    write_photo(tmp_path / "grey.ppm", photo)
    assert np.array_equal(read_photo(tmp_path / "grey.ppm").pixels, photo.pixels)
