"""Examples of the gate's decisions."""

import numpy as np
import pytest
from rating_toys import BrightnessRater, grey

from wxr_plugin.data.images.io import read_image
from wxr_plugin.errors import WxrError
from wxr_plugin.pseudo_labelling import gate_examples as module
from wxr_plugin.pseudo_labelling.gate_examples import GateExamples, clear, gate_examples
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.rating_client import SyncRatingClient


@pytest.fixture
def labels(tmp_path):
    client = SyncRatingClient(BrightnessRater())
    return PseudoLabels(tmp_path / "labels.lmdb", client, examples=2)


def visit(labels, iteration, teacher, keys=("a", "b")):
    labels.best(keys, grey(0.4, 0.4), iteration, [0, 1], grey(*teacher))
    labels.write(iteration)


def decisions_of(folder):
    return {
        (item.key, item.accepted, item.iteration, round(item.offered.rating, 1), item.label.source)
        for item in gate_examples(folder)
    }


def test_an_accepted_and_a_refused_image_have_their_label_and_both_ratings(labels, tmp_path):
    visit(labels, 1, (0.8, 0.2))
    labels.examples.write(tmp_path)
    accepted, refused = gate_examples(tmp_path)
    assert (accepted.key, accepted.accepted, accepted.offered.source) == ("a", True, "teacher@1")
    assert (refused.key, refused.accepted, refused.label.source) == ("b", False, "input")
    assert accepted.offered.rating == pytest.approx(4.2)
    assert refused.label.rating == pytest.approx(2.6)
    assert np.array_equal(read_image(refused.offered.png), np.full((4, 4, 3), 51, np.uint8))


def test_the_newest_decisions_stay_one_of_each_crop(labels, tmp_path):
    for iteration in (1, 2):
        visit(labels, iteration, (0.2, 0.3))
    visit(labels, 3, (0.1, 0.1), ("c", "b"))
    labels.examples.write(tmp_path)
    assert decisions_of(tmp_path) == {("c", False, 3, 1.4, "input"), ("b", False, 3, 1.4, "input")}


def test_a_dropped_update_leaves_no_decision(labels, tmp_path):
    labels.best(["a"], grey(0.4), 1, [0], grey(0.8))
    labels.discard()
    labels.write(1)
    labels.examples.write(tmp_path)
    assert gate_examples(tmp_path) == [] and labels.compared == 0


def test_a_resumed_training_forgets_what_came_after_the_checkpoint(labels, tmp_path):
    visit(labels, 1, (0.8, 0.2))
    visit(labels, 2, (0.9, 0.1))
    labels.examples.write(tmp_path)
    resumed = GateExamples(2)
    resumed.resume(tmp_path, 1)
    assert resumed.decisions == {True: {}, False: {}}
    resumed.resume(tmp_path, 2)
    assert list(resumed.decisions[True]) == ["a"] and list(resumed.decisions[False]) == ["b"]


def test_nothing_is_written_where_none_are_asked_for(tmp_path):
    labels = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()))
    visit(labels, 1, (0.8, 0.2))
    labels.examples.write(tmp_path)
    assert not (tmp_path / module.FILE).exists()


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / module.FILE).write_bytes(b"\x93")
    with pytest.raises(WxrError, match=r"gate_examples\.msgpack: damaged .*remove it"):
        gate_examples(tmp_path)
    clear(tmp_path)
    assert gate_examples(tmp_path) == []
