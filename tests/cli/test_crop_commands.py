"""`wxr label` on crops, roots by weather and pseudo-labels; `rewrite`; and `init`."""

import csv
import re

import numpy as np
import pytest
from panel_toys import checkpoint, grey_photos

from wxr_plugin.cli.main import main
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.real_weather_dataset import RealWeatherDataset
from wxr_plugin.labels.store import LabelStore

COUNTS = re.compile(
    r"asked about (\d+) (?:photos|texts) in (\d+) model calls, reused (\d+), failed (\d+)"
)


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("rain/a", "rain/b", "haze/c", "snow/d"):
        write_image(
            tmp_path / "photos" / f"{name}.png", rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
        )
    return tmp_path / "photos"


@pytest.fixture
def greys(tmp_path):
    return grey_photos(tmp_path / "greys", {"rain/a": 60, "rain/b": 200, "haze/c": 100})


@pytest.fixture
def panel(tmp_path):
    (tmp_path / "half.yml").write_text("type: LikesHalf\n")
    (tmp_path / "both.yml").write_text("- type: LikesBright\n- type: LikesDark\n")
    return tmp_path


def wxr(capsys, *args):
    """Exit code and what was printed."""
    code = main(["label", *(str(arg) for arg in args)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def counts(text):
    return tuple(map(int, COUNTS.search(text.strip().splitlines()[-1]).groups()))


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def keys(path, kind="description"):
    with LabelStore(path, readonly=True) as store:
        return {row.key for row in store.answers(kind)}


def test_crops_are_named_and_cut_as_training_does(capsys, photos, tmp_path):
    store = tmp_path / "labels.lmdb"
    roots = [word for name in ("rain", "haze", "snow") for word in (f"--{name}", photos / name)]
    code, out, _ = wxr(capsys, "describe", *roots, "--boxes", 3, "--size", 48, "-o", store)
    assert code == 0 and counts(out) == (12, 2, 0, 0)
    opt = {
        "name": "real",
        "type": "RealWeatherDataset",
        "phase": "train",
        "gt_size": 48,
        "boxes_per_image": 3,
    }
    data = RealWeatherDataset(
        opt | {"dataroot": {name: str(photos / name) for name in ("rain", "haze", "snow")}}
    )
    seen = {data.draw(index, np.random.default_rng(index))["key"] for index in range(200)}
    assert seen == keys(store)
    # one folder of the same photos has the same names, so nothing is asked again; more boxes keep
    # the others
    assert counts(wxr(capsys, "describe", photos, "--boxes", 3, "--size", 48, "-o", store)[1]) == (
        0,
        0,
        12,
        0,
    )
    assert counts(wxr(capsys, "describe", photos, "--boxes", 4, "--size", 48, "-o", store)[1]) == (
        4,
        1,
        12,
        0,
    )
    assert counts(wxr(capsys, "rate", photos, "--boxes", 1, "--size", 48, "-o", store)[1]) == (
        4,
        1,
        0,
        0,
    )


def test_boxes_of_a_small_photo_that_are_one_and_the_same_are_asked_about_once(capsys, tmp_path):
    write_image(tmp_path / "photos" / "small.png", np.full((20, 30, 3), 90, np.uint8))
    code, out, _ = wxr(capsys, "describe", tmp_path / "photos", "--boxes", 4, "--size", 48)
    assert code == 0 and counts(out) == (1, 1, 0, 0)
    assert keys(tmp_path / "photos.labels.lmdb") == {"small@0,0,30,20"}


def test_descriptions_made_again_on_pseudo_labels_are_the_newest_and_are_rewritten(
    capsys, photos, tmp_path
):
    store = tmp_path / "labels.lmdb"
    wxr(capsys, "describe", photos, "-o", store)
    code, out, _ = wxr(capsys, "rewrite", store)
    assert code == 0 and counts(out)[2:] == (0, 0) and "  -> " in out
    with LabelStore(store) as opened:
        before = opened.texts()
        assert set(before) == {"rain/a", "rain/b", "haze/c", "snow/d"}
        opened.put_pseudo("rain/a", np.full((70, 90, 3), 128, np.uint8), 3.0, "teacher@10", 10)
    code, out, _ = wxr(capsys, "describe", "--pseudo-labels", "-o", store)
    assert code == 0 and counts(out) == (1, 1, 0, 0)
    assert counts(wxr(capsys, "describe", "--pseudo-labels", "-o", store)[1]) == (0, 0, 1, 0)
    code, out, _ = wxr(capsys, "rewrite", store)
    assert code == 0 and counts(out) == (1, 1, 3, 0)
    with LabelStore(store, readonly=True) as opened:
        after, texts = (
            opened.texts(),
            {row.text for row in opened.answers("description") if row.key == "rain/a"},
        )
        assert len(texts) == 2 and after["rain/a"][0] == opened.descriptions()["rain/a"].text
    assert after["rain/a"] != before["rain/a"] and {**after, "rain/a": 0} == {**before, "rain/a": 0}


def test_a_description_that_is_asked_for_again_is_the_newest_again_without_asking(
    capsys, photos, tmp_path
):
    store = tmp_path / "photos.labels.lmdb"
    texts = []
    for prompt, asked in (
        ("describe", 4),
        ("What is the weather like?", 4),
        ("describe", 0),
        ("describe", 0),
    ):
        assert counts(wxr(capsys, "describe", photos, "--prompt", prompt)[1])[0] == asked
        with LabelStore(store, readonly=True) as opened:
            texts.append(
                {key: (row.provenance, row.time) for key, row in opened.descriptions().items()}
            )
            assert len(opened.answers("description")) == 4 * min(len(texts), 2)
    first, other, again, still = ({key: row[0] for key, row in one.items()} for one in texts)
    assert first == again == still != other
    assert texts[2] == texts[3] and all(texts[2][key][1] > texts[1][key][1] for key in first)


def test_rewriting_asks_once_for_a_text_resumes_and_names_failures(capsys, tmp_path):
    with LabelStore(tmp_path / "labels.lmdb") as store:
        for key, text in (
            ("a", "Rain falls on a street."),
            ("b", "Rain falls on a street."),
            ("c", "  "),
        ):
            store.put_description(key, "c", {"model": "m"}, text)
        store.put_rating("d@0,0,8,8", "c", {"model": "m"}, 3.0, (1, 2, 3, 4, 5))
        store.put_rating("a@0,0,8,8", "c", {"model": "m"}, 3.0, (1, 2, 3, 4, 5))
    code, out, _ = wxr(capsys, "rewrite", tmp_path / "labels.lmdb")
    assert code == 1 and counts(out) == (2, 1, 0, 1)
    assert "failed: c: the rewriter gave nothing usable for:" in out
    assert (
        "without description: 1 (d@0,0,8,8)" in out
    )  # a crop of a photo with a description has that one
    code, out, _ = wxr(capsys, "rewrite", tmp_path / "labels.lmdb")
    assert code == 1 and counts(out) == (0, 0, 2, 1) and "(earlier)" in out
    assert counts(wxr(capsys, "rewrite", tmp_path / "labels.lmdb", "--retry-failed")[1]) == (
        1,
        1,
        2,
        1,
    )
    (tmp_path / "rules.yml").write_text("type: RuleRewriter\nopening: A fine day.\n")
    code, out, _ = wxr(
        capsys, "rewrite", tmp_path / "labels.lmdb", "--rewriter", tmp_path / "rules.yml"
    )
    assert counts(out) == (2, 1, 0, 1)  # another rewriter
    with LabelStore(tmp_path / "labels.lmdb", readonly=True) as store:
        texts = store.texts()
    assert (
        set(texts) == {"a", "b"}
        and texts["a"] == texts["b"]
        and texts["a"][1].startswith("A fine day.")
    )
    code, out, _ = wxr(capsys, "show", tmp_path / "labels.lmdb", "--csv", tmp_path / "rows.csv")
    rows = [row for row in table(tmp_path / "rows.csv") if row["kind"] == "rewrite"]
    assert len(rows) == 4 and {row["source"] for row in rows} == {"Rain falls on a street."}
    assert {row["model"] for row in rows} == {"RuleRewriter"}


def test_choosing_the_first_pseudo_labels(capsys, greys, panel, tmp_path):
    restorers = (
        "--restorers",
        "twice=" + checkpoint(tmp_path / "a.pth", 2.0),
        checkpoint(tmp_path / "halve.pth", 0.5),
    )
    init = (
        "init",
        greys,
        *restorers,
        "--raters",
        panel / "half.yml",
        "--csv",
        tmp_path / "summary.csv",
    )
    code, out, _ = wxr(capsys, *init)
    store = tmp_path / "greys.labels.lmdb"
    assert code == 0 and out.strip().endswith(
        f"{store}: 3 pseudo-labels chosen, 3 of them new or changed"
    )
    assert re.search(r"rain .*twice .* 2 .* 1 .* 50\.0% .* 2\.00 ", out)
    rows = table(tmp_path / "summary.csv")
    assert [(row["weather"], row["method"], row["won"]) for row in rows[:3]] == [
        ("rain", "input", "0"),
        ("rain", "halve", "1"),
        ("rain", "twice", "1"),
    ]
    assert float(rows[2]["rating half.yml"]) == pytest.approx((5 - 8 * (0.5 - 120 / 255) + 1) / 2)
    assert len(list((tmp_path / "greys.labels.lmdb.candidates").rglob("*.png"))) == 6
    code, out, _ = wxr(capsys, *init, "--remove-candidates")
    assert code == 0 and "3 pseudo-labels chosen, 0 of them new" in out
    assert not (tmp_path / "greys.labels.lmdb.candidates").exists()
    out = wxr(capsys, "show", store)[1]
    assert re.search(r"pseudo-label .*rain/a .*twice .*LikesHalf", out) and out.strip().endswith(
        "12 rows"
    )


def test_between_rounds_the_panel_judges_again_and_the_old_store_stays(
    capsys, greys, panel, tmp_path
):
    with LabelStore(tmp_path / "round1.lmdb") as store:
        store.put_pseudo(
            "rain/a@0,0,16,16", np.full((16, 16, 3), 128, np.uint8), 4.0, "teacher@50", 50
        )
        store.commit_pseudo(50)
    ema = checkpoint(tmp_path / "ema.pth", 1.5)
    init = (
        "init",
        greys,
        "-o",
        tmp_path / "round2.lmdb",
        "--from",
        tmp_path / "round1.lmdb",
        "--restorers",
        ema,
    )
    code, out, _ = wxr(
        capsys,
        *init,
        "--raters",
        panel / "both.yml",
        panel / "half.yml",
        "--boxes",
        2,
        "--size",
        16,
    )
    assert code == 0 and re.search("rating both.yml 1 .*rating both.yml 2 .*rating half.yml", out)
    again = wxr(
        capsys,
        *init,
        "--raters",
        panel / "both.yml",
        panel / "half.yml",
        "--boxes",
        2,
        "--size",
        16,
    )[1]
    assert "exists: resuming with it" in again and "0 of them new" in again
    with LabelStore(tmp_path / "round2.lmdb", readonly=True) as store:
        labels = store.pseudo_index()
        panels = {label.rater for label in labels.values() if label.key != "rain/a@0,0,16,16"}
        assert len(panels) == 1 and store.provenances()[panels.pop()]["type"] == "panel"
    assert all(label.iteration == 0 for label in labels.values()) and len(labels) >= 6
    with LabelStore(tmp_path / "round1.lmdb", readonly=True) as store:
        assert [label.iteration for label in store.pseudo_labels()] == [50]


def test_unrated_and_unrestored_photos_make_exit_code_1(capsys, greys, tmp_path):
    (tmp_path / "blind.yml").write_text("type: LikesHalf\nunseen: [0, 1]\n")
    broken = checkpoint(tmp_path / "broken.pth", float("nan"))
    code, out, _ = wxr(
        capsys, "init", greys, "--restorers", broken, "--raters", tmp_path / "blind.yml"
    )
    assert code == 1
    assert (
        len(re.findall(r"^failed: .*greys/.*: broken: RestoreError: the network gave", out, re.M))
        == 3
    )
    assert "no rater rated 3 of 3: haze/c, rain/a, rain/b; they are unchanged" in out
    assert out.strip().endswith("0 pseudo-labels chosen, 0 of them new or changed")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("describe",), "name the label store: -o STORE"),
        (("describe", "-o", "{new}"), "name the photos: one folder or LMDB, or roots by weather"),
        (
            ("describe", "{photos}", "--rain", "{photos}"),
            "name the photos: one folder or LMDB, or roots",
        ),
        (("describe", "--rain", "{photos}/rain"), "name the label store: -o STORE"),
        (
            ("describe", "--rain", "{photos}/rain", "--snow", "{empty}", "-o", "{new}"),
            "snow photos: .*no images in it",
        ),
        (("describe", "{gap}/rain/a.png"), "a.png: a file; name its folder"),
        (
            ("describe", "{gap}"),
            "gap/haze: no images in it; put photos of this weather there, or remove it",
        ),
        (("rate", "{photos}", "--boxes", "4"), "--boxes and --size belong together"),
        (("rate", "{photos}", "--boxes", "0", "--size", "64"), "--boxes must be 1 or more, not 0"),
        (("describe", "--pseudo-labels", "-o", "{new}"), "no label store here"),
        (
            ("describe", "--pseudo-labels", "--boxes", "2", "-o", "{store}"),
            "leave out --boxes and --size",
        ),
        (
            ("describe", "--pseudo-labels", "-o", "{store}"),
            "no pseudo-labels in it; `wxr label init PHOTOS",
        ),
        (
            ("rate", "{photos}", "--model", "tiny:quality", "--prompt", "visibility"),
            "--prompt is 'visibility'",
        ),
        (
            ("rate", "{photos}", "--model", "{half}", "--prompt", "quality"),
            "LikesHalf: .*prompt.*keys: type, unseen",
        ),
        (("rewrite", "{new}"), "no label store here"),
        (("rewrite", "{store}"), "no descriptions in it to rewrite; `wxr label describe PHOTOS"),
        (("rewrite", "{store}", "--rewriter", "none.yml"), "none.yml"),
        (("init", "{photos}"), "nothing to choose from: name restorers"),
        (
            ("init", "{photos}", "-o", "{store}"),
            "nothing to choose from: name restorers; .*holds no pseudo-labels",
        ),
        (("init", "--restorers", "tiny", "{photos}"), "name the photos: one folder"),
        (
            ("init", "{photos}", "--restorers", "none.pth"),
            "none.pth: no such file; a restorer is a checkpoint",
        ),
        (
            ("init", "{photos}", "--restorers", "tiny", "a=tiny", "a=tiny"),
            "two restorers are called 'a'",
        ),
        (
            ("init", "{photos}", "--restorers", "tiny", "--raters", "tiny", "tiny"),
            "tiny is named twice",
        ),
        (("init", "{photos}", "--restorers", "tiny", "--raters", "tinny"), "did you mean tiny"),
        (
            ("init", "{photos}", "--restorers", "tiny", "--tile", "16"),
            "--overlap 32 must be smaller than --tile 16",
        ),
        (("init", "{photos}", "--restorers", "tiny", "--from", "{new}"), "no label store here"),
        (
            ("init", "{photos}", "--restorers", "tiny", "--batch-size", "0"),
            "--batch-size must be 1 or more",
        ),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(
    capsys, photos, panel, tmp_path, args, message
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "gap" / "haze").mkdir(parents=True)
    write_image(tmp_path / "gap" / "rain" / "a.png", np.zeros((9, 9, 3), np.uint8))
    LabelStore(tmp_path / "store.lmdb").close()
    names = {
        "new": tmp_path / "new.lmdb",
        "store": tmp_path / "store.lmdb",
        "half": panel / "half.yml",
    }
    names |= {name: tmp_path / name for name in ("photos", "empty", "gap")}
    code, out, err = wxr(capsys, *(arg.format(**names) for arg in args))
    lines = [line for line in err.splitlines() if line.startswith("wxr label: ")]
    assert code == 2 and out == "" and len(lines) == 1
    assert re.search(message, lines[0])
    assert not (tmp_path / "new.lmdb").exists()
