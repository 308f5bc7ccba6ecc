"""Photos of the report: restorations, pseudo-labels and texts of each."""

import numpy as np
import pytest
from run_files import write_files

from wxr_plugin.benchmark.report.viewer import viewer
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.wresvlm.checking import load_run
from wxr_plugin.wresvlm.report import measuring, photos

BY = {"type": "test"}


def grey(value, height=20, width=24):
    return np.full((height, width, 3), value, np.uint8)


def stored(path, *answers):
    """A store with pseudo-labels (key, image, rating) and texts (key, description, rewrite)."""
    path.parent.mkdir(parents=True)
    with LabelStore(path) as store:
        for key, value, extra in answers:
            if isinstance(value, str):
                store.put_description(key, "0" * 32, BY, value)
                store.put_rewrite(key, value, BY, extra)
            else:
                store.put_pseudo(key, value, extra, "teacher@4", 4)
    return store


def labels_of(folder, *answers):
    stored(folder / "labels.lmdb", *answers)
    with LabelStore(folder / "labels.lmdb", readonly=True) as store:
        return {label.key: label for label in store.pseudo_labels()}


def test_labels_of_crops_lie_over_the_darkened_photo(tmp_path):
    crop = ("a@2,3,18,19", grey(200, 16, 16), 4.5)
    picture = photos.label_picture(grey(100), labels_of(tmp_path / "crops", crop))
    assert (picture[3:19, 2:18] == 200).all()
    assert (picture[:3] == 30).all() and (picture[:, 18:] == 30).all()
    whole = ("a", grey(150), 4.0)
    picture = photos.label_picture(grey(100), labels_of(tmp_path / "both", crop, whole))
    assert (picture[3:19, 2:18] == 200).all() and (picture[:3] == 150).all()


def test_the_padding_of_a_small_photo_is_left_out(tmp_path):
    labels = labels_of(tmp_path / "small", ("a@0,0,24,20", grey(200, 32, 32), 4.5))
    assert (photos.label_picture(grey(100), labels) == 200).all()


def test_each_part_has_its_rating_and_texts(tmp_path):
    labels = labels_of(
        tmp_path / "labels", ("a@0,0,16,16", grey(9, 16, 16), 4.5), ("a", grey(9), 3)
    )
    texts = {"a@0,0,16,16": ("It rains.", "It is clear."), "a@4,4,20,20": ("Fog.", "Clear.")}
    parts = photos.label_texts(labels, texts, 6)
    assert [title for title, _ in parts] == ["Whole photo", "Crop 0,0,16,16", "Crop 4,4,20,20"]
    assert dict(parts[1][1]) == {
        "Pseudo-label": "rating 4.50 of 5, from teacher@4",
        "Description": "It rains.",
        "Rewrite": "It is clear.",
    }
    assert photos.label_texts(labels, texts, 1) == parts[:1]


def test_the_viewer_has_every_step_of_the_photos(folder):
    write_files(folder, report={"rater": "brighter", "shown": 3})
    settings = load_run("run.yml")
    rows = []
    for photo in RealPhotos(settings.real).photos:
        key = photo.key
        file = folder / "restored" / f"{key}.png"
        write_image(file, grey(120, 22, 26))
        values = {"input": {"VLM-Vis": 0.25}, "round_1": {"VLM-Vis": 0.5}}
        weather = key.split("/")[0]
        rows.append(
            {"photo": key, "weather": weather, "files": {"round_1": str(file)}, "values": values}
        )
    texts = ("rain/0", "It <rains>.", "It is clear.")
    stored(settings.labels("round_1"), ("rain/0", grey(90, 22, 26), 4.0))
    stored(settings.labels("rewrite"), texts)
    data = photos.viewer_data(settings, ["rewrite", "round_1"], rows)
    assert [title for title, _ in data["sources"]] == ["input", "round_1", "pseudo-labels"]
    assert data["right"] == 1 and data["metrics"] == [("VLM-Vis", "higher", 3)]
    images = [image for part in data["sets"] for image in part["images"]]
    assert [image["n"] for image in images] == ["rain/0", "haze/0", "snow/1"]
    assert images[0]["s"] == [26, 22] and images[0]["v"] == [[0.25], [0.5], [None]]
    assert all(images[0]["d"]) and images[1]["d"][2] is None
    assert dict(images[0]["t"][0][1])["Description"] == "It <rains>." and images[1]["t"] == []
    page = viewer(data, "note")
    assert "<rains>" not in page and "It \\u003crains>." in page


def test_the_truth_of_a_photo_is_shown_after_its_restorations_and_measured(folder):
    write_image(folder / "truth/rain/0.png", grey(120, 22, 26))
    report = {"rater": None, "truth": "truth", "titles": {"round_1": "ours"}}
    write_files(folder, report=report)
    settings = load_run("run.yml")
    rows = []
    for key in ("rain/0", "snow/1"):
        file = folder / "restored" / f"{key}.png"
        write_image(file, grey(130, 22, 26))
        weather = key.split("/")[0]
        rows.append(
            {"photo": key, "weather": weather, "files": {"round_1": str(file)}, "values": {}}
        )
    measuring._score(settings, RealPhotos(settings.real), rows)
    assert rows[0]["values"]["round_1"]["PSNR"] == pytest.approx(28.13, abs=0.01)
    assert set(rows[0]["values"]) == {"input", "round_1"} and rows[1]["values"] == {}
    data = photos.viewer_data(settings, [], rows)
    assert data["sources"] == [("input", "input"), ("round_1", "ours"), ("truth", "truth")]
    rain, snow = (part["images"][0] for part in data["sets"])
    assert rain["d"][2] and snow["d"][2] is None


def test_a_subset_keeps_the_order_it_is_given(folder):
    every = RealPhotos(load_run("run.yml").real)
    keys = every.keys()
    part = every.subset(reversed(keys[:3]))
    assert part.keys() == keys[2::-1] and every.keys() == keys
    assert part.path(keys[0]) == every.path(keys[0])
