"""Wrong paths and names: one line that says what to do, at once, and nothing is left behind."""

import errno
import os

import numpy as np
import pytest

from wxr_plugin.cli.main import main
from wxr_plugin.data.images.io import write_image
from wxr_plugin.inference.packaged import TINY
from wxr_plugin.utils import files

RESTORE = ["restore", "photos", "--checkpoint", "tiny", "--device", "cpu", "-o"]
LEARN = ["prompts", "learn", "--synthetic", "photos", "--iterations", "1", "-o"]
NOT_A_FOLDER = "is a file, not a folder; choose another place"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the current directory, with photos, a file and an empty folder."""
    write_image(tmp_path / "photos/a.png", np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*RESTORE, "file/out"], NOT_A_FOLDER),
        ([*RESTORE, "file/out.png"], NOT_A_FOLDER),
        ([*LEARN, "file/p.safetensors"], NOT_A_FOLDER),
        ([*LEARN, "empty"], "empty: a folder; name a file"),
        (["label", "rate", "photos", "-o", "file/l.lmdb"], NOT_A_FOLDER),
        (["label", "rate", "photos", "-o", "file"], "exists and is not a label store"),
        (["label", "init", "photos", "--restorers", "tiny", "--csv", "empty"], "name a file"),
        (["label", "caption", "photos", "-o", "empty"], "empty: a folder; name a file"),
        (["daclip", "classify", "photos", "--csv", "empty"], "empty: a folder; name a file"),
        (["demo", "-o", "file/demo"], NOT_A_FOLDER),
        (["demo", "-o", "demo", "--judge", "nothing"], "unknown vision-language model 'nothing'"),
        (["demo", "-o", "demo", "--judge", "tiny:beauty"], "unknown rating prompt 'beauty'"),
        (["schema", "--write", "empty"], "empty: a folder, where a file is needed"),
        (["lmdb", "build", "file", "x.lmdb"], "file: a file; name its folder"),
        (["lmdb", "check", "file"], "file: a file; name the folder of an LMDB"),
        (["lmdb", "build", "photos", "file/x.lmdb"], "a part of this path is a file"),
        (["train", "-opt", "photos"], "photos: a folder, where a file is needed"),
        (["train", "-opt", "photos/a.png"], "a.png: not an option file: it is not text in UTF-8"),
        (["demo", "-o", "demo", "--judge", "none.yml"], "none.yml: no such file or folder; name"),
        (["wresvlm", "run", "-opt", "none.yml"], "none.yml: no such file or folder"),
        (["benchmark", "-opt", "none.yml"], "none.yml: no such file or folder"),
        (["models", "get", "nothing"], "unknown model 'nothing'"),
    ],
)
def test_a_wrong_path_is_one_line_and_leaves_nothing(folder, capsys, words, message):
    before = sorted(folder.rglob("*"))
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and ".tmp" not in line and "partial" not in line
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("flag", [["--workers", "0"], ["--max-bad", "-1"]])
def test_a_number_out_of_range_builds_nothing(folder, capsys, flag):
    with pytest.raises(SystemExit) as left:
        main(["lmdb", "build", "photos", "x.lmdb", *flag])
    assert left.value.code == 2 and "is not a whole number" in capsys.readouterr().err
    assert not (folder / "x.lmdb").exists()


def test_a_folder_without_permission_is_known_before_the_work(folder, monkeypatch, capsys):
    # Root may write everywhere, so that no mode of a folder would do.
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    assert main([*RESTORE, "out"]) == 2
    assert f"no permission to write into {folder}" in capsys.readouterr().err
    assert main([*LEARN, "p.safetensors"]) == 2
    assert os.listdir(folder / "empty") == []


@pytest.fixture
def full_disk(monkeypatch):
    """Let every file be the one that does not fit any more."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["schema", "--write", "out/x.json"], "out/x.json"),
        (["zoo", "convert", TINY, "out/x.safetensors"], "out/x.safetensors"),
        (["demo", "-o", "out"], "out/photos/.clear.partial/"),
    ],
)
def test_a_full_disk_is_named_and_keeps_no_half(folder, full_disk, capsys, words, name):
    assert main([*map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{name}" in line and "no space left on device; free some space" in line
    assert [path for path in folder.glob("out/**/*") if not path.is_dir()] == []


def test_photos_that_cannot_be_read_have_no_table(folder, capsys):
    (folder / "photos/a.png").write_bytes(b"no image")
    assert main(["daclip", "classify", "photos", "--device", "cpu"]) == 1
    assert capsys.readouterr().out.startswith("no photo could be read\nskipped: ")
