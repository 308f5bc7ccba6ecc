import csv
import multiprocessing
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import small_models

from wxr_plugin.cli.label_inputs import default_store
from wxr_plugin.cli.main import main
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.lmdb.build import build
from wxr_plugin.data.weather.synthesis import add_weather
from wxr_plugin.labels.store import LabelStore


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(small_models.llava(tmp_path_factory.mktemp("vlm") / "small"))


@pytest.fixture
def photos(tmp_path):
    make_photos(tmp_path / "photos", 7)
    return tmp_path / "photos"


def make_photos(folder, count):
    rng = np.random.default_rng(0)
    for i in range(count):
        size = (60, 80, 3) if i % 2 else (90, 50, 3)
        write_image(
            folder / ("rain" if i % 3 else "snow") / f"{i:03d}.png",
            rng.integers(0, 256, size, dtype=np.uint8),
        )


def wxr(capsys, *args):
    """Exit code and what was printed."""
    code = main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def counts(text):
    """Photos asked about, model calls, photos reused, photos failed."""
    line = text.strip().splitlines()[-1]
    found = re.search(
        r"asked about (\d+) photos in (\d+) model calls, reused (\d+), failed (\d+)", line
    )
    return tuple(map(int, found.groups()))


def test_rating_a_folder_prints_a_summary_and_asks_nothing_twice(capsys, photos, model):
    code, out, _ = wxr(capsys, "label", "rate", photos, "--model", model, "--batch-size", 3)
    assert code == 0 and counts(out) == (7, 3, 0, 0)
    assert re.search(r"mean rating \d\.\d{3} over 7 photos", out)
    assert sum(int(number) for number in re.findall(r"^  \d\.\d-\d\.\d .*?(\d+)$", out, re.M)) == 7
    assert re.search(r"^worst: (rain|snow)/\d{3} \d\.\d\d, .*\nbest:  (rain|snow)/\d{3}", out, re.M)
    code, again, _ = wxr(capsys, "label", "rate", photos, "--model", model, "--batch-size", 3)
    assert code == 0 and counts(again) == (0, 0, 7, 0)
    assert again.splitlines()[:-1] == out.splitlines()[:-1]
    with LabelStore(photos.with_name("photos.labels.lmdb"), readonly=True) as store:
        assert [row.key for row in store.answers()] == [f"rain/{i:03d}" for i in (1, 2, 4, 5)] + [
            f"snow/{i:03d}" for i in (0, 3, 6)
        ]


def test_without_options_the_packaged_model_puts_heavy_haze_below_clear_photos(capsys, tmp_path):
    for name, photo in (("astronaut", skimage.data.astronaut()), ("coffee", skimage.data.coffee())):
        write_image(tmp_path / "photos" / f"clear_{name}.png", photo)
        hazy = add_weather(photo.astype(np.float32) / 255, "haze", 0.9, np.random.default_rng(0))
        write_image(tmp_path / "photos" / f"hazy_{name}.png", (hazy * 255).round().astype(np.uint8))
    code, out, _ = wxr(capsys, "label", "rate", tmp_path / "photos")
    assert code == 0 and counts(out) == (4, 1, 0, 0)
    assert re.search(r"^worst: hazy_\w+ \d\.\d\d, hazy_\w+ \d\.\d\d, clear_", out, re.M)
    code, out, _ = wxr(capsys, "label", "describe", tmp_path / "photos")
    assert code == 0 and counts(out) == (4, 1, 0, 0)
    with LabelStore(default_store(tmp_path / "photos"), readonly=True) as store:
        hazy = {row.key for row in store.answers("description") if "haze" in row.text}
    assert hazy >= {"hazy_astronaut", "hazy_coffee"}


def test_a_new_photo_a_changed_photo_another_prompt_and_another_model_are_asked_about(
    capsys, photos, model, tmp_path
):
    rate = "label", "rate", photos, "--model", model
    wxr(capsys, *rate)
    write_image(photos / "new.png", np.zeros((50, 50, 3), np.uint8))
    write_image(photos / "rain" / "001.png", np.zeros((50, 50, 3), np.uint8))
    assert counts(wxr(capsys, *rate)[1]) == (2, 1, 6, 0)
    assert counts(wxr(capsys, *rate, "--prompt", "quality")[1]) == (8, 1, 0, 0)
    assert counts(wxr(capsys, *rate, "--dtype", "bfloat16")[1]) == (8, 1, 0, 0)
    other = small_models.llava(tmp_path / "other", small_models.word_tokenizer(bos=False))
    assert counts(wxr(capsys, "label", "rate", photos, "--model", other)[1]) == (8, 1, 0, 0)
    assert counts(wxr(capsys, *rate)[1]) == (0, 0, 8, 0)


def test_an_lmdb_reuses_the_ratings_of_its_folder(capsys, photos, model, tmp_path):
    wxr(capsys, "label", "rate", photos, "--model", model)
    build(str(photos), str(tmp_path / "photos.lmdb"))
    assert default_store(tmp_path / "photos.lmdb") == default_store(photos)
    assert counts(wxr(capsys, "label", "rate", tmp_path / "photos.lmdb", "--model", model)[1]) == (
        0,
        0,
        7,
        0,
    )


def test_bad_photos_are_stored_as_failed_listed_and_tried_again_only_on_demand(
    capsys, photos, model
):
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    whole = (photos / "snow" / "000.png").read_bytes()
    (photos / "snow" / "000.png").write_bytes(whole[: len(whole) // 2])
    rate = "label", "rate", photos, "--model", model
    code, out, _ = wxr(capsys, *rate)
    assert code == 1 and counts(out) == (6, 1, 0, 3)
    assert re.search(r"^failed: .*empty\.jpg: empty file", out, re.M)
    assert re.search(r"^failed: .*page\.jpg: a web page, not an image", out, re.M)
    assert re.search(r"^failed: .*snow/000\.png: cut short", out, re.M)
    code, out, _ = wxr(capsys, *rate)
    assert code == 1 and counts(out) == (0, 0, 6, 3) and "--retry-failed" in out
    with LabelStore(default_store(photos), readonly=True) as store:
        assert {row.key: row.attempts for row in store.answers() if hasattr(row, "reason")} == {
            "empty": 1,
            "page": 1,
            "snow/000": 1,
        }
    assert counts(wxr(capsys, *rate, "--retry-failed")[1]) == (0, 0, 6, 3)
    with LabelStore(default_store(photos), readonly=True) as store:
        assert {row.attempts for row in store.answers() if hasattr(row, "reason")} == {2}
    (photos / "snow" / "000.png").write_bytes(
        whole
    )  # a repaired photo has new content, so it did not fail before
    assert counts(wxr(capsys, *rate)[1]) == (1, 1, 6, 2)


@pytest.mark.slow
def test_a_run_killed_with_kill_9_resumes_where_it_stopped(capsys, model, tmp_path):
    make_photos(tmp_path / "photos", 200)
    rate = ["label", "rate", tmp_path / "photos", "--model", model, "--batch-size", "1"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "wxr_plugin.cli.main", *rate], stderr=subprocess.DEVNULL
    )
    store, end = default_store(tmp_path / "photos"), time.monotonic() + 300
    try:
        while answered(store) < 5 and killed.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        killed.kill()
        killed.wait()
    kept = answered(store)
    assert killed.returncode == -9 and 5 <= kept < 200
    code, out, _ = wxr(capsys, *rate)
    assert code == 0 and counts(out) == (200 - kept, 200 - kept, kept, 0)


def answered(store: Path) -> int:
    if not (store / "data.mdb").exists():
        return 0
    with LabelStore(store, readonly=True) as reader:
        return len(reader.answers())


def test_describing_a_folder(capsys, photos, model):
    describe = "label", "describe", photos, "--model", model, "--max-tokens", 6
    code, out, _ = wxr(capsys, *describe)
    asked, calls, reused, failed = counts(out)
    assert (asked, calls, reused) == (7, 1, 0) and code == (1 if failed else 0)
    with LabelStore(default_store(photos), readonly=True) as store:
        texts = {row.key: row.text for row in store.answers("description") if hasattr(row, "text")}
    assert len(texts) == 7 - failed and all(texts.values())
    assert any(f"{key}: {text}" in out for key, text in texts.items())
    assert counts(wxr(capsys, *describe)[1]) == (0, 0, 7 - failed, failed)


def test_showing_a_store_as_a_table_and_as_csv(capsys, photos, model, tmp_path):
    (photos / "empty.jpg").write_bytes(b"")
    wxr(capsys, "label", "rate", photos, "--model", model)
    store = default_store(photos)
    with LabelStore(store) as opened:
        opened.put_pseudo(
            "rain/001@0,0,8,8", np.zeros((8, 8, 3), np.uint8), 3.25, "teacher@1200", 1200
        )
    code, out, _ = wxr(capsys, "label", "show", store)
    assert code == 0 and out.strip().endswith("9 rows")
    assert re.search(r"pseudo-label .*rain/001@0,0,8,8 .*3\.250 .*teacher@1200", out)
    assert re.search(r"failure .*empty .*empty file", out)
    assert re.search(r"rating .*rain/001 .*small .*Rate the visibility", out)
    code, out, _ = wxr(capsys, "label", "show", store, "--csv", tmp_path / "rows.csv")
    assert code == 0 and "9 rows" in out
    with open(tmp_path / "rows.csv", newline="") as file:
        rows = {(row["kind"], row["image"]): row for row in csv.DictReader(file)}
    assert len(rows) == 9
    with LabelStore(store, readonly=True) as opened:
        first = next(row for row in opened.answers("rating") if row.key == "rain/001")
    assert float(rows["rating", "rain/001"]["rating"]) == first.rating
    assert [float(rows["rating", "rain/001"][word]) for word in small_models.WORDS] == list(
        first.logits
    )
    assert rows["pseudo-label", "rain/001@0,0,8,8"]["iteration"] == "1200"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("rate", "{none}"), "no such folder"),
        (("rate", "{empty}"), "no images in it"),
        (
            ("rate", "{photos}", "--model", "tinny"),
            "unknown vision-language model 'tinny'.*did you mean tiny",
        ),
        (
            ("rate", "{photos}", "--prompt", "visbility"),
            "unknown rating prompt.*did you mean visibility",
        ),
        (
            ("describe", "{photos}", "--prompt", "describ"),
            "unknown description prompt.*did you mean describe",
        ),
        (("rate", "{photos}", "--batch-size", "0"), "--batch-size must be 1 or more, not 0"),
        (("rate", "{photos}", "--dtype", "float8"), "float8"),
        (
            ("rate", "{photos}", "--model", "{model}", "-o", "{photos}"),
            "exists and is not a label store",
        ),
        (("show", "{none}"), "no label store here"),
        (("show", "{photos}"), "no label store here"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(
    capsys, photos, model, tmp_path, args, message
):
    (tmp_path / "empty").mkdir()
    names = {
        "none": tmp_path / "none",
        "empty": tmp_path / "empty",
        "photos": photos,
        "model": model,
    }
    code, out, err = wxr(capsys, "label", *(arg.format(**names) for arg in args))
    lines = [line for line in err.splitlines() if line.startswith("wxr label: ")]
    assert code == 2 and out == "" and len(lines) == 1
    assert re.search(message, lines[0])
    assert not default_store(photos).exists()


def test_a_store_that_another_process_writes_is_refused(capsys, photos, model):
    def hold(connection):
        with LabelStore(default_store(photos)):
            connection.send("held")
            connection.recv()

    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(target=hold, args=(theirs,))
    other.start()
    assert ours.recv() == "held"
    code, _, err = wxr(capsys, "label", "rate", photos, "--model", model)
    ours.send("release")
    other.join()
    assert code == 2 and f"process {other.pid} on" in err


def test_help_shows_an_example(capsys):
    for action in ("rate", "describe", "show"):
        with pytest.raises(SystemExit) as ended:
            main(["label", action, "--help"])
        text = capsys.readouterr().out
        assert ended.value.code == 0 and f"examples:\n  wxr label {action} photos" in text
