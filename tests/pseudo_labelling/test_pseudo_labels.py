"""The gate: what becomes a pseudo-label, when, and how it comes back."""

import numpy as np
import pytest
import torch
from rating_toys import BrightnessRater, grey, red_corner

from wxr_plugin.data.crops import Box, crop, fixed_boxes
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.rating_client import RatingMemoryError, SyncRatingClient


@pytest.fixture
def labels(tmp_path):
    return PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()))


def visit(labels, iteration, keys, photos, restored, rivals=None, write=True):
    """Train for one iteration on a batch: rate the crops that are due, then store new labels."""
    rows = labels.due(keys, iteration)
    batch = labels.best(keys, photos, iteration, rows, restored[rows] if rows else None, rivals)
    if write:
        labels.write(iteration)
    return batch


def stored(labels: PseudoLabels) -> dict[str, tuple[float, str, int]]:
    rows = labels.store.pseudo_labels()
    return {row.key: (round(row.rating, 4), row.source, row.iteration) for row in rows}


def test_a_photo_without_a_better_restoration_stands_for_itself(labels):
    batch = visit(labels, 1, ["a", "b"], grey(0.2, 0.6), grey(0.1, 0.1), write=False)
    torch.testing.assert_close(batch.images, grey(0.2, 0.6))
    torch.testing.assert_close(batch.ratings, torch.tensor([1.8, 3.4]))
    assert stored(labels) == {}  # nothing before write
    labels.write(1)
    assert stored(labels) == {"a": (1.8, "input", 1), "b": (3.4, "input", 1)}
    assert labels.accepted == 0 and labels.rated == 4


def test_the_gate_opens_upwards_only(labels):
    photos = grey(0.4, 0.4)
    for iteration, (first, second) in enumerate([(0.6, 0.2), (0.8, 0.4), (0.2, 0.2)], 1):
        batch = visit(labels, iteration, ["a", "b"], photos, grey(first, second))
    torch.testing.assert_close(batch.images, grey(0.8, 0.4))
    assert stored(labels) == {"a": (4.2, "teacher@2", 2), "b": (2.6, "input", 1)}
    assert labels.accepted == 2
    assert labels.ratings == pytest.approx({"a": 4.2, "b": 2.6})


def test_a_better_restoration_is_the_label_of_its_own_iteration(labels):
    batch = visit(labels, 1, ["a"], grey(0.4), grey(0.8))
    torch.testing.assert_close(batch.images, grey(0.8))
    assert batch.ratings.item() == pytest.approx(4.2)
    assert stored(labels) == {"a": (4.2, "teacher@1", 1)}


def test_a_margin_below_0_lets_the_newer_image_win_where_it_is_about_as_good(tmp_path):
    labels = PseudoLabels(
        tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()), margin=-0.1
    )
    for iteration, teacher in enumerate([0.6, 0.58, 0.5], 1):
        visit(labels, iteration, ["a"], grey(0.4), grey(teacher))
    assert stored(labels) == {"a": (3.3216, "teacher@2", 2)}
    assert labels.accepted == 2


def test_a_margin_above_0_leaves_small_gains_out(tmp_path):
    labels = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()), margin=0.1)
    for iteration, teacher in enumerate([0.6, 0.62, 0.65], 1):
        visit(labels, iteration, ["a"], grey(0.4), grey(teacher))
    assert stored(labels)["a"][1:] == ("teacher@3", 3)
    assert labels.accepted == 2


def test_everything_new_is_rated_in_one_call_and_only_once(labels):
    visit(labels, 1, ["a", "b"], grey(0.4, 0.4), grey(0.6, 0.6))
    visit(labels, 2, ["a", "c"], grey(0.4, 0.4), grey(0.6, 0.6))
    labels.best(["a", "b", "c"], grey(0.4, 0.4, 0.4), 3)
    assert labels.client.rater.calls == [4, 3]


def test_each_crop_is_rated_at_most_once_every_few_iterations(tmp_path):
    labels = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()), every=3)
    due = []
    for iteration in range(1, 8):
        keys = ["a", "b"] if iteration % 2 else ["a"]
        due.append([keys[row] for row in labels.due(keys, iteration)])
        visit(
            labels, iteration, keys, grey(*[0.1] * len(keys)), grey(*[iteration / 10] * len(keys))
        )
    assert due == [["a", "b"], [], [], ["a"], ["b"], [], ["a"]]
    assert stored(labels) == {"a": (3.7922, "teacher@7", 7), "b": (3.0078, "teacher@5", 5)}
    again = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()), every=3)
    again.resume(labels.state(), 7)
    assert again.due(["a", "b"], 8) == [1]


def test_the_strict_gate_wants_more_than_the_students_image(labels):
    photos, restored = grey(0.2, 0.2), grey(0.6, 0.6)
    batch = visit(labels, 1, ["a", "b"], photos, restored, rivals=grey(0.7, 0.5))
    torch.testing.assert_close(batch.images, grey(0.2, 0.6))
    assert {key: row[1] for key, row in stored(labels).items()} == {"a": "input", "b": "teacher@1"}


def test_a_dropped_update_leaves_nothing(labels):
    visit(labels, 1, ["a"], grey(0.4), grey(0.8), write=False)
    labels.discard()
    labels.write(1)
    assert stored(labels) == {} and labels.accepted == 0


def test_a_label_of_the_same_window_counts(labels):
    visit(labels, 1, ["a"], grey(0.4), grey(0.8), write=False)
    batch = visit(labels, 2, ["a"], grey(0.4), grey(0.6))
    torch.testing.assert_close(batch.images, grey(0.8))
    assert labels.client.rater.calls == [2, 1] and stored(labels) == {"a": (4.2, "teacher@1", 2)}


def test_what_cannot_be_rated_or_is_not_finite_never_wins(labels):
    broken = grey(0.9)
    broken[0, 0, 0, 0] = float("nan")
    restored = torch.cat((red_corner(grey(0.9)), broken))
    batch = visit(labels, 1, ["a", "b"], grey(0.0, 0.0), restored)
    torch.testing.assert_close(batch.images, grey(0.0, 0.0))
    assert batch.ratings.tolist() == [1, 1]
    assert labels.failures.count == 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
        MemoryError(),
    ],
)
def test_a_rater_without_memory_stops_training_with_the_fix(labels, monkeypatch, error):
    def rate(images):
        raise error

    monkeypatch.setattr(labels.client.rater, "rate", rate)
    with pytest.raises(
        RatingMemoryError, match=r"iteration 7: rating 2 images ran out of memory.*rater.batch_size"
    ):
        visit(labels, 7, ["a"], grey(0.4), grey(0.8))
    assert labels.failures.count == 0 and stored(labels) == {}


def test_a_photo_that_cannot_be_rated_keeps_its_label(labels):
    photo = red_corner(grey(0.3))
    batch = visit(labels, 1, ["a"], photo, grey(0.9))
    torch.testing.assert_close(batch.images, photo, atol=0.003, rtol=0)
    assert stored(labels) == {}


def test_a_rater_that_fails_leaves_labels_and_training_alone(labels, warnings_said):
    visit(labels, 1, ["a"], grey(0.4), grey(0.6))
    labels.client.rater.broken = True
    for iteration in range(2, 30):
        batch = visit(labels, iteration, ["a"], grey(0.4), grey(0.8))
        torch.testing.assert_close(batch.images, grey(0.6))
    # Between these calls 1, 3, 7 and 15 were skipped.
    assert labels.client.rater.calls == [2, 1, 1, 1, 1]
    assert labels.failures.count == 4
    said = warnings_said()
    assert (
        len(said) == 1
        and "ConnectionError: the server is gone" in said[0]
        and "`wxr label rate`" in said[0]
    )
    labels.client.rater.broken = False
    for iteration in range(30, 34):
        visit(labels, iteration, ["a"], grey(0.4), grey(0.8))
    assert stored(labels) == {"a": (4.2, "teacher@32", 32)}


def test_failures_are_logged_more_and_more_rarely(labels, warnings_said):
    for iteration in range(1, 13):
        visit(labels, iteration, ["a"], red_corner(grey(0.4)), red_corner(grey(0.6)))
    said = warnings_said()
    assert [line.split(":")[0] for line in said] == ["rating_failures 2", "rating_failures 10"]
    assert "nor on any other image of this call" in said[0] and "brightness" in said[0]


def test_a_photo_that_comes_twice_in_a_batch_gets_one_label(labels):
    batch = visit(labels, 1, ["a", "a"], grey(0.4, 0.4), grey(0.6, 0.8))
    torch.testing.assert_close(batch.images, grey(0.8, 0.8))
    assert stored(labels) == {"a": (4.2, "teacher@1", 1)} and labels.accepted == 1


def test_a_label_from_another_rater_is_rated_again(tmp_path):
    with LabelStore(tmp_path / "labels.lmdb") as store:
        store.put_pseudo(
            "a", np.full((4, 4, 3), 128, np.uint8), 4.9, "restormer", 0, "another rater"
        )
    labels = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()))
    labels.start()
    assert labels.best(["a"], grey(0.2), 1).ratings.item() == pytest.approx(
        4.9
    )  # all that is known of it so far
    batch = visit(labels, 1, ["a"], grey(0.2), grey(0.4))
    assert batch.ratings.item() == pytest.approx(1 + 4 * 128 / 255)
    torch.testing.assert_close(batch.images, grey(128 / 255))
    assert stored(labels) == {"a": (pytest.approx(3.0078, abs=1e-4), "restormer", 1)}


@pytest.mark.parametrize("sides", [(40, 50), (10, 50), (12, 9)])
def test_a_crop_begins_with_the_crop_of_its_photos_label(tmp_path, sides):
    """`crop` fills small photos up by reflection; the label of such a photo is filled up alike."""
    whole = np.random.default_rng(0).integers(0, 256, (*sides, 1), dtype=np.uint8).repeat(3, 2)
    with LabelStore(tmp_path / "labels.lmdb") as store:
        store.put_pseudo("rain/a@home", whole, 3.5, "restormer", 0, "panel")
    labels = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()))
    labels.start()
    box = fixed_boxes("rain/a@home", *sides, 16, 1)[0]
    key = f"rain/a@home@{box}"
    batch = visit(labels, 1, [key], grey(0.0, size=16), grey(0.1, size=16))
    expected = torch.from_numpy(crop(whole, box, 16).copy()).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(batch.images, expected)
    assert stored(labels)[key][1:] == ("restormer", 1)
    assert stored(labels)["rain/a@home"] == (3.5, "restormer", 0)


def test_a_whole_label_of_another_size_is_named_and_left_alone(tmp_path, warnings_said):
    with LabelStore(tmp_path / "labels.lmdb") as store:
        store.put_pseudo("a", np.full((8, 8, 3), 255, np.uint8), 3.5, "restormer", 0, "panel")
    labels = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()))
    for iteration in (1, 2):
        batch = labels.best([f"a@{Box(10, 0, 14, 4)}"], grey(0.2), iteration)
    torch.testing.assert_close(batch.images, grey(0.2))
    assert warnings_said() == [
        "the pseudo-label of a is 8 x 8 pixels, and the crop 10,0,14,4 does not fit in: its crops "
        "begin with the photo "
        "itself. Make it again from the photo as it is now with `wxr label init`"
    ]


def test_labels_of_another_run_are_not_taken_for_a_start(labels):
    visit(labels, 7, ["a"], grey(0.4), grey(0.6))
    labels.commit(7, keep=3)
    with pytest.raises(
        WxrError, match="came to iteration 7: resume that run, or give this one another"
    ):
        labels.start()


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path):
    with LabelStore(tmp_path / "labels.lmdb") as store:
        store.put_pseudo("a", np.full((4, 4, 3), 128, np.uint8), 3.0, "restormer", 0, "panel")
    labels = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()))
    labels.start()
    visit(labels, 4, ["a", "b"], grey(0.4, 0.4), grey(0.8, 0.8))
    assert stored(labels).keys() == {"a", "b"}
    labels.start()
    assert stored(labels) == {"a": (3.0, "restormer", 0)}
    assert labels.ratings == {}


def test_a_resumed_run_has_the_labels_of_its_checkpoint(labels):
    visit(labels, 1, ["a", "b"], grey(0.2, 0.2), grey(0.4, 0.1))
    labels.commit(1, keep=3)
    before, state = stored(labels), labels.state()
    visit(labels, 2, ["a", "c"], grey(0.2, 0.2), grey(0.8, 0.8))
    assert stored(labels) != before and labels.accepted == 3
    labels.resume(state, 1)
    assert stored(labels) == before and labels.accepted == 1 and labels.state() == state
