"""`wxr restore` of videos: the result, resuming, and wrong calls."""

import json

import pytest

pytest.importorskip("av")

from clips import read_clip, write_clip

from wxr_plugin.cli.main import main


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", count=4)


def _restore(clip, output, *options: str) -> int:
    return main(["restore", str(clip), "-o", str(output), "--checkpoint", "tiny", *options])


def test_video_is_restored_and_reported(clip, tmp_path, capsys):
    assert _restore(clip, tmp_path / "clear.mp4", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["restored"]
    assert row["frames"] == 4 and row["flicker_after"] >= 0
    before, after = read_clip(clip), read_clip(tmp_path / "clear.mp4")
    assert before[1] == after[1]
    assert abs(before[0].astype(int) - after[0]).mean() > 1  # the network did something


def test_existing_result_is_kept_unless_overwritten(clip, tmp_path, capsys):
    (tmp_path / "clear.mp4").write_bytes(b"mine")
    assert _restore(clip, tmp_path / "clear.mp4") == 0
    assert "exists" in capsys.readouterr().out
    assert (tmp_path / "clear.mp4").read_bytes() == b"mine"
    assert _restore(clip, tmp_path / "clear.mp4", "--overwrite") == 0
    assert len(read_clip(tmp_path / "clear.mp4")[0]) == 4


def test_folder_takes_the_name_of_the_source(clip, tmp_path):
    (tmp_path / "out").mkdir()
    assert _restore(clip, tmp_path / "out") == 0
    assert (tmp_path / "out" / "clip.mp4").is_file()


def test_dry_run_restores_nothing(clip, tmp_path, capsys):
    assert _restore(clip, tmp_path / "clear.mp4", "--dry-run") == 0
    assert "about 4 frames of 64x48 at 30 a second" in capsys.readouterr().out
    assert not list(tmp_path.glob("clear*"))


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("clear.png", (), "the result of a video is a file named"),
        ("clip.mp4", ("--overwrite",), "overwritten by its own result"),
        ("clear.mp4", ("--smooth", "1"), "less than 1"),
        ("clear.mp4", ("--rate", "3"), "a video has its own rate"),
        ("clear.mp4", ("--quality", "3"), "for photos"),
    ],
)
def test_wrong_calls(clip, tmp_path, capsys, output, options, message):
    assert _restore(clip, tmp_path / output, *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "clear.mp4").exists()


def test_video_next_to_photos_is_refused(clip, tmp_path, capsys):
    assert main(["restore", str(clip), str(clip), "-o", str(tmp_path / "out")]) == 2
    assert "in a call of its own" in capsys.readouterr().err
