"""`wxr benchmark --shard`: the shards and a last call make what one call makes."""

import json

import pytest
import yaml
from bench_files import rows, run, write

from wxr_plugin.inference.restorer import Restorer

UNEQUAL = ("seconds", "peak", "versions", "device")


def figures(folder):
    """Return the rows without times, and with paths below the folder."""
    table = []
    for row in rows(folder):
        cells = {name: cell for name, cell in row.items() if not name.startswith(UNEQUAL)}
        table.append({name: cell.replace(str(folder), "") for name, cell in cells.items()})
    return table


@pytest.mark.parametrize("balance", ["name", "pixels"])
def test_the_shards_make_the_tables_of_one_call(tmp_path, balance, monkeypatch, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    assert run(write(whole)) == 0
    file = write(parts)
    for number in (1, 2):
        assert run(file, "--shard", f"{number}/2", "--balance", balance) == 0
    assert "without --shard makes the tables" in capsys.readouterr().out
    images = [file.name for file in (parts / "out/shards").rglob("images/**/*.png")]
    assert len(images) == len(set(images)) == 4

    def restores(*_):
        raise AssertionError("restored again")

    monkeypatch.setattr(Restorer, "restore", restores)
    assert run(file) == 0
    assert figures(parts) == figures(whole)
    for image in (whole / "out/images").rglob("*.png"):
        twin = parts / "out" / image.relative_to(whole / "out")
        assert twin.read_bytes() == image.read_bytes()


def test_what_a_shard_lacks_or_has_outdated_is_made_at_the_end(tmp_path):
    file = write(tmp_path)
    assert run(file, "--shard", "1/2", "--balance", "pixels") == 0
    (image,) = list((tmp_path / "out/shards").rglob("images/**/*.png"))[:1]
    image.write_bytes(b"cut")
    assert run(file) == 0
    assert len(list((tmp_path / "out/images").rglob("*.png"))) == 4
    assert not any(path.read_bytes() == b"cut" for path in (tmp_path / "out/images").rglob("*.png"))


def test_a_shard_without_photos_and_a_wrong_one(tmp_path, capsys):
    file = write(tmp_path)
    photos = []
    for number in (1, 2, 3):
        assert run(file, "--shard", f"{number}/50", "--json") == 0
        photos.append(json.loads(capsys.readouterr().out)["photos"])
    assert 0 in photos
    assert run(file, "--shard", "5/4") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert yaml.safe_load(file.read_text())
