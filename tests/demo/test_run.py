import re

import numpy as np
import pytest

from wxr_plugin.cli import main as cli
from wxr_plugin.data import packaged_photos
from wxr_plugin.data.images.io import list_images, read_image, write_image
from wxr_plugin.demo.run import Settings, work_folder
from wxr_plugin.demo.scores import pair_table, rating_table
from wxr_plugin.utils import html


def test_packaged_photos_are_there_and_split():
    assert not set(packaged_photos.TRAIN) & set(packaged_photos.HELD_OUT)
    for name in (*packaged_photos.TRAIN, *packaged_photos.HELD_OUT):
        photo = packaged_photos.packaged_photo(name)
        assert photo.dtype == np.uint8
        assert photo.ndim == 3
        assert min(photo.shape[:2]) >= 300


def test_stand_in_photos_are_the_same_every_time(tmp_path):
    for folder in ("one", "two"):
        packaged_photos.write_unlabelled(tmp_path / folder, per_kind=1)
    first, second = (list_images(tmp_path / folder) for folder in ("one", "two"))
    assert len(first) == 3 * len(packaged_photos.TRAIN)
    assert all(np.array_equal(read_image(a), read_image(b)) for a, b in zip(first[:4], second[:4]))


@pytest.mark.slow
def test_a_folder_of_photos_becomes_a_report_and_a_second_call_skips_everything(tmp_path, capfd):
    real = tmp_path / "my photos"
    for number, name in enumerate(("coffee", "china")):
        photo = packaged_photos.packaged_photo(name)[:150, :200]
        write_image(
            real / f"{name}.png", packaged_photos.weathered(photo, "haze", 0.5, number, "shifted")
        )
    (real / "broken.jpg").write_bytes(b"not a photo")
    words = [
        "demo",
        "-o",
        str(tmp_path / "demo"),
        "--real",
        str(real),
        "--warmup",
        "2",
        "--iterations",
        "2",
    ]
    assert cli.main(words) == 0
    output = capfd.readouterr().out
    assert re.search(r"all default +[\d.*]+ +[\d.*]+( ▼)? +[\d.*]+", output)
    page = (tmp_path / "demo" / "index.html").read_text()
    assert "coffee.png" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert cli.main(words) == 0
    output = capfd.readouterr().out
    assert "[semi_supervised] done before, skipped" in output
    assert "Training statistics" not in output


def test_other_settings_or_photos_get_a_folder_of_their_own(tmp_path):
    write_image(tmp_path / "photos" / "a.png", packaged_photos.packaged_photo("coffee")[:20, :20])
    first = work_folder(tmp_path, tmp_path / "photos", Settings())
    assert work_folder(tmp_path, tmp_path / "photos", Settings()) == first
    write_image(tmp_path / "photos" / "b.png", packaged_photos.packaged_photo("coffee")[:20, :20])
    others = [
        work_folder(tmp_path, tmp_path / "photos", Settings(**change))
        for change in ({}, {"iterations": 9})
    ]
    assert len({first, *others, work_folder(tmp_path, None, Settings())}) == 4


def test_a_folder_without_photos_is_one_line(tmp_path, capsys):
    assert (
        cli.main(["demo", "-o", str(tmp_path / "demo"), "--real", str(tmp_path / "nowhere")]) == 2
    )
    error = capsys.readouterr().err.strip()
    assert "nowhere: no such folder" in error
    assert len(error.splitlines()) == 1


def test_what_is_worse_than_the_input_is_marked_in_both_tables():
    pair = {"style": "default", "kind": "rain", "input": [20, 0.5], "packaged": [19, 0.5]}
    pair |= {"supervised": [21, 0.4], "semi_supervised": [22, 0.6]}
    _, rows = pair_table([pair])
    assert rows[0] == [
        "default rain",
        "20.00",
        "19.00 ▼",
        "21.00",
        "*22.00",
        "0.500",
        "0.500",
        "0.400 ▼",
        "*0.600",
    ]
    _, rows = rating_table(
        [{"kind": "all", "input": 3.0, "supervised": 2.5, "semi_supervised": 4.0}]
    )
    assert rows == [["all photos", "1", "3.00", "2.50 ▼", "*4.00"]]
    assert '<td class="worse">19.00 ▼</td>' in html.html_table(["a"] * 9, [["x", "19.00 ▼"]])
