"""The first pseudo-labels: who wins, what is stored, and what is done again after a crash."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from panel_toys import SIZE, checkpoint, grey_photos

from wxr_plugin.data.crops import crop
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.real_photos import RealPhotos, split_key
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.specs import read_spec
from wxr_plugin.labels.initial import InitSettings, init_labels
from wxr_plugin.labels.outcomes import summary
from wxr_plugin.labels.sources import Crops
from wxr_plugin.labels.store import LabelStore, content_hash, provenance_hash
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.rating_client import SyncRatingClient
from wxr_plugin.vlm.rater import build_rater

BRIGHT, DARK, HALF = {"type": "LikesBright"}, {"type": "LikesDark"}, {"type": "LikesHalf"}
SETTINGS = InitSettings(tile=None, device="cpu")


@pytest.fixture
def photos(tmp_path):
    return RealPhotos(
        grey_photos(tmp_path / "photos", {"rain/a": 60, "rain/b": 200, "haze/c": 100})
    )


@pytest.fixture
def double(tmp_path):
    return read_spec(checkpoint(tmp_path / "double.pth", 2.0))


@pytest.fixture
def halve(tmp_path):
    return read_spec(checkpoint(tmp_path / "halve.pth", 0.5))


class Bars:
    """Notes how each stage ended."""

    def __init__(self):
        self.ends = {}

    @contextmanager
    def __call__(self, title, total):
        done = 0

        def advance(more, counts):
            nonlocal done
            done += more
            self.ends[title] = str(counts)

        yield advance
        assert done == total, f"{title}: {done} of {total}"


def stored(path):
    with LabelStore(path, readonly=True) as store:
        return {
            row.key: (row.source, round(row.rating, 3), row.iteration)
            for row in store.pseudo_labels()
        }


def rating(level):
    return round(1 + 4 * level / 255, 3)


def test_each_photo_gets_the_image_that_the_panel_likes_best(photos, double, halve, tmp_path):
    result = init_labels(
        photos, tmp_path / "labels.lmdb", [double, halve], {"half": HALF}, SETTINGS
    )
    half = {"half": lambda level: round(5 - 8 * abs(level / 255 - 0.5), 3)}["half"]
    assert stored(tmp_path / "labels.lmdb") == {
        "rain/a": ("double", half(120), 0),
        "rain/b": ("halve", half(100), 0),
        "haze/c": ("input", half(100), 0),
    }
    with LabelStore(tmp_path / "labels.lmdb", readonly=True) as store:
        assert (store.get_pseudo("rain/a").image == 120).all() and (
            store.get_pseudo("rain/b").image == 100
        ).all()
        (rater,) = store.provenances().values()
        assert store.get_pseudo("haze/c").rater == provenance_hash(rater)
    assert result.failed == result.unrated == [] and result.stored == 3


def test_the_mean_rank_of_several_raters_decides(photos, double, halve, tmp_path):
    panel = {"bright": BRIGHT, "dark": DARK, "half": HALF}
    result = init_labels(photos, tmp_path / "labels.lmdb", [double, halve], panel, SETTINGS)
    # 60: 60, 120, 30 -> ranks of bright 2 1 3, dark 2 3 1, half 2 1 3; 200: 200, 255, 100 -> half:
    # 2 3 1
    ranks = {
        outcome.key: np.round(outcome.vote.mean_rank, 3).tolist() for outcome in result.outcomes
    }
    assert ranks["rain/a"] == [2, 1.667, 2.333] and ranks["rain/b"] == [2, 2.333, 1.667]
    with LabelStore(tmp_path / "labels.lmdb", readonly=True) as store:
        label = store.get_pseudo("rain/a")
        panel = store.provenances()[label.rater]
    assert panel["type"] == "panel" and [rater["type"] for rater in panel["raters"]] == [
        "LikesBright",
        "LikesDark",
        "LikesHalf",
    ]
    assert label.source == "double" and label.rating == pytest.approx(
        (3 + 5 - 8 * abs(120 / 255 - 0.5)) / 3 + 1
    )


def test_the_summary_counts_by_method_and_weather(photos, double, tmp_path):
    result = init_labels(
        photos, tmp_path / "labels.lmdb", [double], {"half": HALF, "bright": BRIGHT}, SETTINGS
    )
    lines = {(line.weather, line.method): line for line in summary(result)}
    assert list(lines) == [
        (weather, method) for weather in ("rain", "haze", "all") for method in ("input", "double")
    ]
    assert (lines["rain", "input"].won, lines["rain", "double"].won) == (1, 1)
    # rain/b: half prefers 200 to 255, bright 255: equal ranks; the mean of ratings is higher for
    # 200
    assert lines["rain", "double"].share == 0.5 and lines["rain", "double"].mean_rank == 1.25
    assert lines["all", "input"].images == 3 and lines["all", "double"].share == pytest.approx(
        2 / 3
    )
    assert lines["haze", "input"].ratings["bright"] == pytest.approx(1 + 400 / 255)
    assert lines["all", "input"].ratings["bright"] == pytest.approx(1 + 4 * 120 / 255)


def test_a_second_run_asks_and_restores_nothing_and_changes_nothing(photos, double, tmp_path):
    path, bars = tmp_path / "labels.lmdb", Bars()
    first = init_labels(photos, path, [double], {"half": HALF}, SETTINGS, bars=bars)
    assert bars.ends["restoring: double"] == "restored 3, reused 0, failed 0"
    assert bars.ends["rating: half"] == "asked 6, reused 0, failed 0"
    before = stored(path)
    again = init_labels(photos, path, [double], {"half": HALF}, SETTINGS, bars=bars)
    assert bars.ends["restoring: double"] == "restored 0, reused 3, failed 0"
    assert bars.ends["rating: half"] == "asked 0, reused 6, failed 0"
    assert again.stored == 0 and stored(path) == before
    winners = [outcome.winner.name for outcome in again.outcomes]
    assert winners == [outcome.winner.name for outcome in first.outcomes]


def test_a_new_restorer_a_changed_photo_and_other_weights_are_done_again(
    photos, double, halve, tmp_path
):
    path, bars = tmp_path / "labels.lmdb", Bars()
    init_labels(photos, path, [double], {"half": HALF}, SETTINGS, bars=bars)
    init_labels(photos, path, [double, halve], {"half": HALF}, SETTINGS, bars=bars)
    assert bars.ends["restoring: double"] == "restored 0, reused 3, failed 0"
    assert bars.ends["rating: half"] == "asked 3, reused 6, failed 0"
    grey_photos(tmp_path / "photos", {"rain/a": 61})
    checkpoint(tmp_path / "halve.pth", 0.25)
    init_labels(photos, path, [double, halve], {"half": HALF}, SETTINGS, bars=bars)
    assert bars.ends["restoring: double"] == "restored 1, reused 2, failed 0"
    assert bars.ends["restoring: halve"] == "restored 3, reused 0, failed 0"


def test_ratings_of_the_photos_are_those_of_label_rate(photos, double, tmp_path):
    init_labels(photos, tmp_path / "labels.lmdb", [double], {"bright": BRIGHT}, SETTINGS)
    with LabelStore(tmp_path / "labels.lmdb", readonly=True) as store:
        (provenance,) = store.provenances().values()
        row = store.get_rating("rain/a", content_hash(photos.encoded("rain/a")), provenance)
    assert row.rating == pytest.approx(1 + 4 * 60 / 255)


def test_a_training_starts_from_them_and_knows_the_ratings_of_a_panel_of_one(
    photos, double, tmp_path
):
    path = tmp_path / "labels.lmdb"
    init_labels(photos, path, [double], {"half": HALF}, SETTINGS)
    labels = PseudoLabels(path, SyncRatingClient(build_rater(HALF)))
    labels.start()
    ratings = {key: round(value, 3) for key, value in labels.ratings.items()}
    assert ratings == {key: row[1] for key, row in stored(path).items()}
    labels.store.close()
    init_labels(photos, path, [double], {"half": HALF, "bright": BRIGHT}, SETTINGS)
    labels = PseudoLabels(path, SyncRatingClient(build_rater(HALF)))
    labels.start()
    assert labels.ratings == {}  # a panel's ratings are not those of one of its raters
    labels.store.close()


def test_the_panel_asks_nothing_about_labels_and_photos_that_a_training_rated(tmp_path):
    write_image(tmp_path / "photos" / "rain" / "a.png", np.full((16, 16, 3), 60, np.uint8))
    photos, crops = RealPhotos(tmp_path / "photos"), Crops(1, 16)
    (key,) = crops.cut("rain/a", photos.read("rain/a"))
    labels = PseudoLabels(tmp_path / "old.lmdb", SyncRatingClient(build_rater(BRIGHT)))
    levels = torch.tensor([60, 140]) / 255
    photo, restored = levels.view(2, 1, 1, 1, 1).expand(2, 1, 3, 16, 16)
    labels.best([key], photo, 1, [0], restored)
    labels.write(1)
    labels.store.close()
    settings, bars = InitSettings(crops=crops, tile=None, device="cpu"), Bars()
    new = tmp_path / "new.lmdb"
    init_labels(photos, new, [], {"bright": BRIGHT}, settings, tmp_path / "old.lmdb", bars)
    assert bars.ends["rating: bright"] == "asked 0, reused 2, failed 0"
    assert stored(new)[key][0] == "teacher@1"
    init_labels(photos, new, [], {"dark": DARK}, settings, bars=bars)
    assert bars.ends["rating: dark"] == "asked 2, reused 0, failed 0"


# Stored labels and crops


def test_what_the_store_holds_is_a_candidate_and_keeps_its_source(photos, halve, tmp_path):
    path = tmp_path / "labels.lmdb"
    with LabelStore(path) as store:
        store.put_pseudo("rain/a", np.full((*SIZE, 3), 128, np.uint8), 2.0, "teacher@900", 0)
        store.put_pseudo("rain/b", np.full((*SIZE, 3), 250, np.uint8), 5.0, "teacher@800", 0)
        store.put_pseudo("haze/c", np.full((9, 9, 3), 128, np.uint8), 5.0, "of another photo", 0)
    result = init_labels(photos, path, [halve], {"half": HALF}, SETTINGS)
    assert {key: row[0] for key, row in stored(path).items()} == {
        "rain/a": "teacher@900",
        "rain/b": "halve",
        "haze/c": "input",
    }
    names = {
        outcome.key: [candidate.name for candidate in outcome.candidates]
        for outcome in result.outcomes
    }
    assert names["rain/a"] == ["input", "stored", "halve"] and names["haze/c"] == ["input", "halve"]
    assert stored(path)["rain/a"][1] == round(
        5 - 8 * abs(128 / 255 - 0.5), 3
    )  # rated by this panel now


def test_from_an_old_store_the_panel_may_judge_again_without_any_restorer(photos, tmp_path):
    with LabelStore(tmp_path / "old.lmdb") as store:
        store.put_pseudo("rain/a", np.full((*SIZE, 3), 128, np.uint8), 2.0, "teacher@900", 900)
        store.put_description("rain/a", "c", BRIGHT, "Rain.")
        store.commit_pseudo(900)
    init_labels(photos, tmp_path / "new.lmdb", [], {"half": HALF}, SETTINGS, tmp_path / "old.lmdb")
    assert stored(tmp_path / "new.lmdb")["rain/a"] == (
        "teacher@900",
        round(5 - 8 * abs(128 / 255 - 0.5), 3),
        0,
    )
    assert stored(tmp_path / "old.lmdb") == {"rain/a": ("teacher@900", 2.0, 900)}
    with LabelStore(tmp_path / "new.lmdb", readonly=True) as store:
        assert store.descriptions()["rain/a"].text == "Rain."


def test_crops_are_chosen_one_by_one_from_crops_of_everything(tmp_path, double):
    image = np.full((40, 50, 3), 60, np.uint8)
    image[:, 25:] = 180
    write_image(tmp_path / "photos" / "rain" / "a.png", image)
    photos, crops = RealPhotos(tmp_path / "photos"), Crops(6, 16)
    keys = list(crops.cut("rain/a", image))
    whole = np.full_like(image, 140)
    with LabelStore(tmp_path / "old.lmdb") as store:
        store.put_pseudo("rain/a", whole, 3.0, "whole", 70)
        store.put_pseudo(keys[0], np.full((16, 16, 3), 128, np.uint8), 3.0, "teacher@90", 90)
    settings = InitSettings(tile=None, device="cpu", crops=crops)
    result = init_labels(
        photos, tmp_path / "new.lmdb", [double], {"half": HALF}, settings, tmp_path / "old.lmdb"
    )
    assert [outcome.key for outcome in result.outcomes] == sorted(keys) and len(keys) == 6
    rows = stored(tmp_path / "new.lmdb")
    assert rows[keys[0]][0] == "teacher@90" and rows["rain/a"] == ("whole", 3.0, 0)
    with LabelStore(tmp_path / "new.lmdb", readonly=True) as store:
        for key in keys[1:]:
            box = split_key(key)[1]
            views = {
                "input": crop(image, box, 16),
                "double": crop(np.minimum(image * 2.0, 255), box, 16),
            }
            views["whole"] = crop(whole, box, 16)
            best = min(views, key=lambda name: abs(views[name].mean() / 255 - 0.5))
            assert rows[key][0] == best
            assert np.array_equal(store.get_pseudo(key).image, views[best])


def test_a_label_of_another_photo_is_no_candidate_though_it_has_the_size_of_a_crop(
    tmp_path, double
):
    """Before, a 16 x 16 label of a photo of 40 x 50 was every crop's stored label."""
    image = np.full((40, 50, 3), 60, np.uint8)
    write_image(tmp_path / "photos" / "rain" / "a.png", image)
    path, crops = tmp_path / "labels.lmdb", Crops(3, 16)
    with LabelStore(path) as store:
        store.put_pseudo("rain/a", np.full((16, 16, 3), 128, np.uint8), 3.0, "another", 0)
    settings = InitSettings(tile=None, device="cpu", crops=crops)
    result = init_labels(RealPhotos(tmp_path / "photos"), path, [double], {"half": HALF}, settings)
    for outcome in result.outcomes:
        assert [candidate.name for candidate in outcome.candidates] == ["input", "double"]


def test_a_store_that_a_training_continued_with_is_refused_and_left_alone(photos, double, tmp_path):
    path = tmp_path / "labels.lmdb"
    with LabelStore(path) as store:
        store.put_pseudo("rain/a", np.zeros((*SIZE, 3), np.uint8), 2.0, "teacher@900", 900)
    with pytest.raises(WxrError, match=r"came to iteration 900 .*-o NEW --from .*labels\.lmdb"):
        init_labels(photos, path, [double], {"half": HALF}, SETTINGS)
    assert stored(path) == {"rain/a": ("teacher@900", 2.0, 900)}


# What fails


def test_photos_that_a_restorer_cannot_do_are_named_and_the_others_go_on(photos, double, tmp_path):
    write_image(tmp_path / "photos" / "rain" / "wide.png", np.full((20, 44, 3), 90, np.uint8))
    photos = RealPhotos(tmp_path / "photos")
    picky = read_spec("picky=" + checkpoint(tmp_path / "p.pth", 1.5, refused=44))
    broken = read_spec(checkpoint(tmp_path / "broken.pth", float("nan")))
    result = init_labels(
        photos, tmp_path / "labels.lmdb", [double, picky, broken], {"half": HALF}, SETTINGS
    )
    assert len(result.failed) == 1 + 4
    (line,) = [line for line in result.failed if "picky" in line]
    assert line.endswith("rain/wide.png: picky: RuntimeError: the convolution was too wide")
    assert (
        sum(
            "RestoreError: the network gave values that are not numbers" in line
            for line in result.failed
        )
        == 4
    )
    assert stored(tmp_path / "labels.lmdb")["rain/wide"][0] == "input"
    assert {line.method for line in summary(result)} == {"input", "double", "picky"}


def test_unreadable_photos_are_named_once(photos, double, tmp_path):
    (tmp_path / "photos" / "rain" / "page.jpg").write_text("<html>")
    photos = RealPhotos(tmp_path / "photos")
    result = init_labels(
        photos, tmp_path / "labels.lmdb", [double], {"half": HALF, "dark": DARK}, SETTINGS
    )
    assert len(result.failed) == 1 and "page.jpg: a web page" in result.failed[0]
    assert len(stored(tmp_path / "labels.lmdb")) == 3


def test_a_photo_without_any_rating_stays_as_it_was_and_is_named(photos, double, tmp_path):
    path, blind = tmp_path / "labels.lmdb", {**BRIGHT, "unseen": [0.2, 0.5]}
    with LabelStore(path) as store:
        store.put_pseudo("rain/a", np.full((*SIZE, 3), 70, np.uint8), 2.0, "kept", 0)
    result = init_labels(photos, path, [double], {"blind": blind}, SETTINGS)
    assert result.unrated == ["rain/a"]  # 60, 70 and 120 of 255 are all unseen
    assert {key: row[0] for key, row in stored(path).items()} == {
        "rain/a": "kept",
        "rain/b": "double",
        "haze/c": "double",  # 100 is unseen, 200 is not
    }
    assert sum("the model gave no usable answer" in line for line in result.failed) == 4
    again = init_labels(photos, path, [double], {"blind": blind}, SETTINGS)
    assert sum("(earlier)" in line for line in again.failed) == 4


def test_one_rater_that_sees_nothing_leaves_the_vote_to_the_others(photos, double, tmp_path):
    panel = {"blind": {**DARK, "unseen": [0, 1]}, "bright": BRIGHT}
    result = init_labels(photos, tmp_path / "labels.lmdb", [double], panel, SETTINGS)
    assert result.unrated == [] and {outcome.winner.name for outcome in result.outcomes} == {
        "double"
    }
    line = next(line for line in summary(result) if line.method == "double")
    assert np.isnan(line.ratings["blind"]) and line.mean_rank == 1


@pytest.mark.parametrize(
    ("restorers", "raters", "message"),
    [
        (["tiny", "tiny"], {"half": HALF}, "two restorers are called 'tiny'.*NAME=PATH"),
        (["input=tiny"], {"half": HALF}, "a restorer cannot be called 'input'"),
        ([], {"half": HALF}, "nothing to choose from: name restorers"),
        (["tiny"], {}, "a panel needs at least one rater"),
        (["{double}"], {"a": HALF, "b": HALF}, "the raters 'a' and 'b' are the same"),
        (["{double}"], {"a": {"type": "LikesHalf", "unseem": 3}}, "unseem"),
    ],
)
def test_what_does_not_make_a_vote_is_refused(photos, double, tmp_path, restorers, raters, message):
    specs = [read_spec(text.format(double=double.checkpoint)) for text in restorers]
    with pytest.raises(WxrError, match=message):
        init_labels(photos, tmp_path / "labels.lmdb", specs, raters, SETTINGS)
    assert not (tmp_path / "labels.lmdb").exists() or stored(tmp_path / "labels.lmdb") == {}


# Kills


STAGES = ["restoring: halve", "rating: half", "storing the winners"]


def stopping(stage, stop):
    """Bars that call `stop(counts)` at the second step of `stage`."""

    @contextmanager
    def bars(title, total):
        steps = 0

        def advance(done, counts):
            nonlocal steps
            steps += title == stage and done > 0
            if steps == 2:
                stop(str(counts))

        yield advance

    return bars


def start(folder, bars):
    specs = [
        read_spec(checkpoint(folder / f"{name}.pth", gain))
        for name, gain in (("double", 2.0), ("halve", 0.5))
    ]
    settings = InitSettings(tile=None, device="cpu", batch_size=2)
    init_labels(
        RealPhotos(folder / "photos"),
        folder / "labels.lmdb",
        specs,
        {"half": HALF},
        settings,
        bars=bars,
    )


def check_that_only_what_is_missing_is_done(folder, stage):
    bars = Bars()
    start(folder, bars)
    assert bars.ends["restoring: double"] == "restored 0, reused 3, failed 0"
    if stage == STAGES[0]:
        assert bars.ends["restoring: halve"] == "restored 1, reused 2, failed 0"
    else:
        assert bars.ends["restoring: halve"] == "restored 0, reused 3, failed 0"
        asked = 7 if stage == STAGES[1] else 0  # of 9, as the first batch of two was stored
        assert bars.ends["rating: half"] == f"asked {asked}, reused {9 - asked}, failed 0"
    assert {key: row[0] for key, row in stored(folder / "labels.lmdb").items()} == {
        "rain/a": "double",
        "rain/b": "halve",
        "haze/c": "input",
    }


@pytest.mark.parametrize("stage", STAGES)
def test_stopped_in_any_stage_the_next_run_does_only_what_is_missing(photos, tmp_path, stage):
    def stop(counts):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, stopping(stage, stop))
    check_that_only_what_is_missing_is_done(tmp_path, stage)


def run_until_killed(folder, stage):
    start(folder, stopping(stage, lambda counts: os.kill(os.getpid(), signal.SIGKILL)))


@pytest.mark.slow
def test_killed_with_kill_9_the_same_holds(photos, tmp_path):
    stage = STAGES[1]
    words = f"import sys; sys.path[:0] = {sys.path!r}; import wxr_plugin, pathlib, test_initial; "
    words += f"test_initial.run_until_killed(pathlib.Path({str(tmp_path)!r}), {stage!r})"
    assert subprocess.run([sys.executable, "-c", words]).returncode == -signal.SIGKILL
    check_that_only_what_is_missing_is_done(tmp_path, stage)


def test_another_precision_restores_again_and_the_first_results_are_kept(photos, double, tmp_path):
    ends = []
    for precision in ("fp32", "bf16", "fp32"):
        bars = Bars()
        settings = InitSettings(tile=None, device="cpu", precision=precision)
        init_labels(photos, tmp_path / "l.lmdb", [double], {"bright": BRIGHT}, settings, bars=bars)
        ends.append(bars.ends["restoring: double"])
    made, reused = "restored 3, reused 0, failed 0", "restored 0, reused 3, failed 0"
    assert ends == [made, made, reused]
