"""The counts of the gate as data."""

import pytest
from rating_toys import BrightnessRater, grey

from wxr_plugin.errors import WxrError
from wxr_plugin.pseudo_labelling import gate_counts as module
from wxr_plugin.pseudo_labelling.gate_counts import GateCounts, clear, gate_counts, record
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.rating_client import SyncRatingClient


def test_the_counts_are_those_of_the_gate(tmp_path):
    labels = PseudoLabels(tmp_path / "labels.lmdb", SyncRatingClient(BrightnessRater()))
    assert labels.counts(0) == GateCounts(0, 0, 0, 0, 0, None)
    labels.best(["a", "b"], grey(0.2, 0.4), 1, [0, 1], grey(0.6, 0.2))
    labels.write(1)
    assert labels.counts(1) == GateCounts(1, 4, 1, 0, 2, pytest.approx(3.0), 2)


def test_a_resumed_training_counts_nothing_twice(tmp_path):
    for iteration, rated in ((10, 4), (20, 8), (30, 12), (20, 8), (30, 11)):
        record(tmp_path, GateCounts(iteration, rated, 1, 0, 2, 3.5))
    entries = gate_counts(tmp_path)
    assert [(entry.iteration, entry.rated) for entry in entries] == [(10, 4), (20, 8), (30, 11)]
    clear(tmp_path)
    assert gate_counts(tmp_path) == []


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / module.FILE).write_text('{"iteration": 1')
    with pytest.raises(WxrError, match=r"gate_counts\.jsonl: damaged .*remove it"):
        gate_counts(tmp_path)
