"""`wxr restore` on the frames of a video, and on what people take for them."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from wxr_plugin.archs.conditional_unet_arch import ConditionalUNet
from wxr_plugin.checkpoints.containers import save_state
from wxr_plugin.cli.main import main
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.images.sources import read_source
from wxr_plugin.video.flicker import Smoother

PHOTO = astronaut()[:24, :32]
NAMES = ["1", "2", "3", "4", "10", "11"]


@pytest.fixture
def clip(tmp_path):
    """Write six frames of a camera that moves by a pixel, not padded with zeros."""
    for shift, name in enumerate(NAMES):
        write_image(
            tmp_path / "clip" / f"{name}.png", np.ascontiguousarray(np.roll(PHOTO, shift, axis=1))
        )
    return tmp_path / "clip"


@pytest.fixture
def restore(tmp_path, capsys):
    """Run the command with a sampled network; return the exit code and the output."""
    torch.manual_seed(0)
    network = {"nf": 8, "ch_mult": [1, 2]}
    stored = {
        "network_g": {"type": "ConditionalUNet", **network},
        "sde": {"steps": 2, "max_sigma": 50},
    }
    save_state(tmp_path / "net.pth", {"params": ConditionalUNet(**network).state_dict(), **stored})

    def run(*words):
        given = [
            *map(str, words),
            "-o",
            str(tmp_path / "out"),
            "--checkpoint",
            str(tmp_path / "net.pth"),
        ]
        code = main(["restore", *given])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_frames_are_restored_in_the_order_of_their_numbers_under_their_names(
    restore, clip, tmp_path
):
    assert [photo.stem for photo in read_source(clip, tmp_path / "out").photos] == NAMES
    code, said = restore(clip, "--frames")
    assert code == 0 and "6 photos restored" in said
    results = {file.name: read_image(file) for file in (tmp_path / "out").iterdir()}
    assert results.keys() == {f"{name}.png" for name in NAMES}
    assert all(image.shape == PHOTO.shape for image in results.values())


def test_frames_of_two_sizes(restore, clip):
    write_image(clip / "3.png", np.ascontiguousarray(PHOTO[:20, :20]))
    code, said = restore(clip, "--frames")
    assert (
        code == 2
        and "1.png has 32x24 and 3.png has 20x20 pixels, but the frames of a video have one size"
        in said
    )
    assert restore(clip)[0] == 0, "photos may differ"


def test_two_videos_may_differ_in_size(restore, clip, tmp_path):
    write_image(tmp_path / "other" / "a.png", np.ascontiguousarray(PHOTO[:20, :20]))
    (clip / "2.png").write_bytes(b"no frame")
    code, said = restore(clip, tmp_path / "other", "--frames")
    assert code == 1 and "6 photos restored" in said and "2.png: damaged" in said


def test_folder_of_videos_has_no_photos(restore, tmp_path):
    video = tmp_path / "holiday.MP4"
    video.write_bytes(b"\x00\x00\x00\x18ftypmp42")
    (tmp_path / "videos").mkdir()
    video.rename(tmp_path / "videos" / "holiday.mp4")
    code, said = restore(tmp_path / "videos")
    assert code == 2 and "no images in this folder" in said and "ffmpeg" in said


def test_a_network_that_is_not_sampled_has_no_noise_to_share(clip, tmp_path, capsys):
    assert main(["restore", str(clip), "-o", str(tmp_path / "out"), "--frames"]) == 2
    assert "which this one is not: leave them out" in " ".join(capsys.readouterr().err.split())


def _smoothed(clip, output, *options: str) -> int:
    call = ["restore", str(clip), "-o", str(output), "--checkpoint", "tiny", "--smooth", "0.5"]
    return main([*call, *options])


def test_a_folder_is_smoothed_as_a_clip_is(clip, tmp_path):
    assert main(["restore", str(clip), "-o", str(tmp_path / "plain"), "--checkpoint", "tiny"]) == 0
    assert _smoothed(clip, tmp_path / "out") == 0
    smoother, changed = Smoother(0.5), 0
    for name in NAMES:
        before, plain, after = (
            read_image(folder / f"{name}.png")
            for folder in (clip, tmp_path / "plain", tmp_path / "out")
        )
        assert np.array_equal(after, smoother.smooth(before, plain))
        changed += not np.array_equal(after, plain)
    assert changed


def test_a_part_of_the_frames_is_not_smoothed(clip, tmp_path, capsys):
    write_image(tmp_path / "out" / "2.png", PHOTO)
    assert _smoothed(clip, tmp_path / "out") == 2
    assert "1 of 6 results exist" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["2.png"]
    assert _smoothed(clip, tmp_path / "out", "--overwrite") == 0
    assert len(list((tmp_path / "out").iterdir())) == 6


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("clip/1.png", (), "1.png is a photo"),
        ("clip", ("--smooth", "1"), "less than 1"),
        ("clip", ("--rate", "25"), "leave it out"),
    ],
)
def test_wrong_calls(clip, tmp_path, capsys, source, options, message):
    assert _smoothed(tmp_path / source, tmp_path / "out", *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_smoothed_frames_have_one_size(clip, tmp_path, capsys):
    write_image(clip / "3.png", np.ascontiguousarray(PHOTO[:20, :20]))
    assert _smoothed(clip, tmp_path / "out") == 2
    assert "leave out --frames and --smooth" in " ".join(capsys.readouterr().err.split())
