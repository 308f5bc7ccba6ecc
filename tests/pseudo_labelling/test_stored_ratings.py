"""Ratings that a training leaves in the ratings table of its label store."""

import numpy as np
import pytest
from rating_toys import BrightnessRater, grey

from wxr_plugin.labels.store import LabelStore, content_hash
from wxr_plugin.pseudo_labelling.gate import to_arrays
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.rating_client import SyncRatingClient


@pytest.fixture
def labels(tmp_path):
    return PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()))


def visit(labels, iteration, keys, photos, restored):
    """Train for one iteration on a batch of grey images."""
    labels.best(keys, grey(*photos), iteration, range(len(keys)), grey(*restored))
    labels.write(iteration)


def rows(labels) -> dict[tuple[str, float], int | None]:
    """Return (key, rating) -> iteration of every rating in the store."""
    return {(row.key, round(row.rating, 4)): row.iteration for row in labels.store.answers()}


def rating_of(labels, key, level):
    (image,) = to_arrays(grey(level))
    return labels.store.get_rating(key, content_hash(image), labels.client.provenance)


def test_the_ratings_of_photos_and_labels_are_stored_and_those_of_losers_are_not(labels):
    visit(labels, 1, ["a", "b"], [0.4, 0.4], [0.6, 0.2])
    visit(labels, 2, ["a", "b"], [0.4, 0.4], [0.8, 0.2])
    assert rows(labels) == {("a", 2.6): 1, ("a", 3.4): 1, ("a", 4.2): 2, ("b", 2.6): 1}
    assert len(rating_of(labels, "a", 0.8).logits) == 5
    assert rating_of(labels, "a", 0.4).rating == pytest.approx(2.6)
    assert labels.store.provenances() == {labels.rater_hash: labels.client.provenance}


def test_a_dropped_update_stores_no_rating(labels):
    labels.best(["a"], grey(0.4), 1, [0], grey(0.6))
    labels.discard()
    labels.write(1)
    assert rows(labels) == {}


def test_a_resumed_run_ends_with_the_ratings_of_one_that_was_not_stopped(tmp_path):
    batches = {3: (["a", "c"], [0.7, 0.1]), 4: (["b", "c"], [0.9, 0.8]), 5: (["a"], [0.75])}

    def train(labels, iterations):
        for iteration in iterations:
            keys, restored = batches[iteration]
            visit(labels, iteration, keys, [0.4] * len(keys), restored)
            labels.commit(iteration, keep=2)

    ends = []
    for name, lost in (("whole", ()), ("resumed", (3, 4))):
        labels = PseudoLabels(tmp_path / name, SyncRatingClient(BrightnessRater()))
        visit(labels, 2, ["a", "b"], [0.4, 0.4], [0.6, 0.5])
        labels.commit(2, keep=2)
        state, before = labels.state(), rows(labels)
        for iteration in lost:  # of a run that was killed before its next checkpoint
            keys, _ = batches[iteration]
            visit(labels, iteration, keys, [0.4] * len(keys), [0.95] * len(keys))
        labels.resume(state, 2)
        assert rows(labels) == before
        train(labels, (3, 4, 5))
        ends.append((rows(labels), labels.state()))
    assert ends[0] == ends[1]


def test_ratings_of_a_panel_outlive_a_rollback(labels):
    (image,) = to_arrays(grey(0.4))
    labels.store.put_rating("a", content_hash(image), labels.client.provenance, 2.5, [0.0] * 5)
    visit(labels, 3, ["a"], [0.4], [0.6])
    assert rating_of(labels, "a", 0.4).rating == 2.5  # the older row stays
    labels.store.rollback_pseudo(0)
    assert rows(labels) == {("a", 2.5): None}


def test_the_rating_goes_with_the_last_version_of_a_teachers_image(labels):
    for iteration, level in enumerate((0.5, 0.6, 0.8), 1):
        visit(labels, iteration, ["a"], [0.4], [level])
    labels.commit(2, keep=1)
    assert rows(labels) == {("a", 2.6): 1, ("a", 3.4): 2, ("a", 4.2): 3}
    labels.commit(3, keep=1)
    assert rows(labels) == {("a", 2.6): 1, ("a", 4.2): 3}


def test_the_rating_of_a_restorers_image_stays_when_a_better_one_replaces_it(tmp_path):
    with LabelStore(tmp_path / "labels.lmdb") as store:
        store.put_pseudo("a", np.full((4, 4, 3), 128, np.uint8), 4.9, "restormer", 0, "panel")
    labels = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()))
    labels.start()
    visit(labels, 1, ["a"], [0.2], [0.8])
    labels.commit(1, keep=1)
    assert rows(labels) == {("a", 3.0078): 1, ("a", 4.2): 1}
