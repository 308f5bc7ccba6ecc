"""Every unusual or damaged file that occurs in folders is either converted or named."""

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps
from skimage import data as photos

from wxr_plugin.data.images.io import (
    BadImageError,
    encode,
    list_images,
    read_depth,
    read_image,
    write_image,
)
from wxr_plugin.errors import WxrError

PHOTO = np.ascontiguousarray(photos.astronaut()[100:260, 100:340])


def saved(image: Image.Image, kind: str, **settings) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_come_back_as_they_were(kind):
    assert np.array_equal(read_image(saved(Image.fromarray(PHOTO), kind)), PHOTO)


@pytest.mark.parametrize(
    ("kind", "settings"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {})]
)
def test_lossy_files_are_close_and_in_rgb_order(kind, settings):
    image = read_image(saved(Image.fromarray(PHOTO), kind, quality=95, **settings))
    assert image.dtype == np.uint8 and image.shape == PHOTO.shape
    assert np.abs(image.astype(int) - PHOTO).mean() < 4


def test_a_path_and_its_bytes_give_the_same(tmp_path):
    write_image(tmp_path / "a.jpg", PHOTO)
    assert np.array_equal(
        read_image(tmp_path / "a.jpg"), read_image((tmp_path / "a.jpg").read_bytes())
    )


def test_grey_is_repeated_over_the_channels():
    grey = PHOTO[..., 1]
    assert np.array_equal(
        read_image(saved(Image.fromarray(grey), "PNG")), np.repeat(grey[..., None], 3, 2)
    )


def test_palette_and_one_bit_images_are_expanded():
    palette = Image.fromarray(PHOTO).quantize(16)
    assert np.array_equal(read_image(saved(palette, "PNG")), np.asarray(palette.convert("RGB")))
    bilevel = Image.fromarray(PHOTO).convert("1")
    assert set(np.unique(read_image(saved(bilevel, "PNG")))) == {0, 255}


def test_transparency_shows_white():
    rgba = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
    rgba[:10, :, 3], rgba[10:20, :, 3] = 0, 51
    image = read_image(saved(Image.fromarray(rgba), "PNG"))
    assert (image[:10] == 255).all() and np.array_equal(image[20:], PHOTO[20:])
    assert np.abs(image[10:20] - (0.2 * PHOTO[10:20] + 0.8 * 255)).max() <= 0.5001


def test_transparent_colour_of_a_palette_shows_white():
    palette = Image.fromarray(PHOTO).quantize(4)
    clear = np.asarray(palette) == 2
    image = read_image(saved(palette, "PNG", transparency=2))
    assert clear.any() and (image[clear] == 255).all()
    assert np.array_equal(image[~clear], np.asarray(palette.convert("RGB"))[~clear])


@pytest.mark.parametrize("shape", [(), (3,), (4,)], ids=["grey", "colour", "alpha"])
def test_sixteen_bits_are_rounded_to_eight(shape):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, *shape), dtype=np.uint16)
    deep[..., 3:] = 65535
    image = read_image(cv2.imencode(".png", deep)[1].tobytes())
    expected = deep[..., None].repeat(3, -1) if not shape else deep[..., 2::-1]
    assert np.array_equal(image, np.round(expected / 257).astype(np.uint8))


def test_cmyk_is_converted():
    image = read_image(saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=98))
    assert np.abs(image.astype(int) - PHOTO).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied_as_pillow_does(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(PHOTO), kind, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    image = read_image(data)
    assert image.shape == upright.shape and np.abs(image.astype(int) - upright).mean() < 1


def test_empty_missing_and_web_pages_are_named(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.jpg").write_bytes(b"\n <!DOCTYPE html><html><body>404</body></html>")
    (tmp_path / "text.png").write_bytes(b"just some text")
    for name, reason in {
        "empty.jpg": "0 bytes",
        "page.jpg": "web page",
        "text.png": "no known image format",
    }.items():
        with pytest.raises(BadImageError, match=f"{name}: .*{reason}"):
            read_image(tmp_path / name)
    with pytest.raises(BadImageError, match=r"gone\.jpg: No such file"):
        read_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("lenient", [False, True], ids=["", "lenient pillow"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("TIFF", {}),
        ("PPM", {}),
    ],
)
def test_files_cut_short_are_refused(kind, settings, share, lenient, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    data = saved(Image.fromarray(PHOTO), kind, **settings)
    with pytest.raises(BadImageError, match="photo"):
        read_image(data[: int(share * len(data))], "photo")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient


@pytest.mark.parametrize("mode", ["CMYK", "RGB", "L"])
def test_jpegs_cut_or_filled_with_zeros_are_refused_in_every_mode(mode):
    data = saved(Image.fromarray(PHOTO).convert(mode), "JPEG")
    read_image(data)
    half = len(data) // 2
    for damaged in (data[:-2], data[:half], data[:half] + bytes(len(data) - half)):
        with pytest.raises(BadImageError, match="cut short"):
            read_image(damaged)


def test_the_end_of_a_thumbnail_does_not_hide_a_cut_jpeg():
    thumbnail = saved(Image.fromarray(PHOTO[::8, ::8]), "JPEG")
    data = saved(Image.fromarray(PHOTO), "JPEG")
    segment = b"\xff\xe5" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = data[:2] + segment + data[2:]
    assert np.array_equal(read_image(with_thumbnail), read_image(data))
    with pytest.raises(BadImageError, match="cut short"):
        read_image(with_thumbnail[: len(with_thumbnail) - len(data) // 2])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_noise_after_a_real_start_never_raises_anything_else():
    rng = np.random.default_rng(3)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"):
        whole = np.frombuffer(saved(Image.fromarray(PHOTO[:40, :40]), kind), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[rng.integers(2, len(whole), 12)] = rng.integers(0, 256, 12)
            try:
                image = read_image(damaged.tobytes())
            except BadImageError:
                continue
            assert image.dtype == np.uint8 and image.shape[2] == 3


def test_float_images_are_refused_with_the_fix():
    data = saved(Image.fromarray(PHOTO[..., 0].astype(np.float32)), "TIFF")
    with pytest.raises(BadImageError, match="convert it to 8 or 16 bits"):
        read_image(data)


def test_depth_keeps_its_sixteen_bits():
    depth = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    read = read_depth(cv2.imencode(".png", depth)[1].tobytes())
    assert read.dtype == np.float32 and np.array_equal(read, depth / np.float32(65535))
    assert np.array_equal(
        read_depth(saved(Image.fromarray(PHOTO[..., 0]), "PNG")), PHOTO[..., 0] / np.float32(255)
    )


def test_writing_is_lossless_in_png_and_leaves_the_old_file_after_an_error(tmp_path):
    path = tmp_path / "new" / "photo.png"
    write_image(path, PHOTO)
    assert np.array_equal(read_image(path), PHOTO)
    with pytest.raises(ValueError, match="uint8 RGB"):
        write_image(path, PHOTO.astype(np.float32))
    assert np.array_equal(read_image(path), PHOTO) and os.listdir(path.parent) == ["photo.png"]
    with pytest.raises(WxrError, match="suffix"):
        write_image(tmp_path / "photo.txt", PHOTO)


def test_quality_and_level_change_the_size():
    assert len(encode(PHOTO, ".jpg", quality=30)) < len(encode(PHOTO, ".jpg", quality=95))
    assert len(encode(PHOTO, ".png", level=0)) > len(encode(PHOTO, ".png", level=9))


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    write_image(tmp_path / "elsewhere" / "a.png", PHOTO)
    (tmp_path / "root" / "deep").mkdir(parents=True)
    (tmp_path / "root" / "rain").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "deep" / "back").symlink_to(tmp_path / "root")
    assert list_images(tmp_path / "root") == [tmp_path / "root" / "rain" / "a.png"]


def test_images_are_listed_with_sub_folders_and_without_hidden_ones(tmp_path):
    for name in (
        "b.JPG",
        "a.png",
        "deep/c.webp",
        ".hidden.png",
        ".trash/d.png",
        "notes.txt",
        "fake.png/x.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == [
        "a.png",
        "b.JPG",
        "deep/c.webp",
    ]
    with pytest.raises(WxrError, match="no such folder"):
        list_images(tmp_path / "nowhere")
