"""The log of a training as data."""

import logging

from wxr_plugin.models.base import train_log


def test_a_resumed_training_has_one_entry_of_each_iteration(tmp_path):
    for iteration, loss in ((10, 0.5), (20, 0.4), (10, 0.3)):
        train_log.append(tmp_path / "experiment", iteration, {"l_pix": loss, "x": float("nan")})
    log = train_log.read(tmp_path / "experiment")
    assert log == {10: {"l_pix": 0.3}, 20: {"l_pix": 0.4}}
    assert list(log) == [10, 20]


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path):
    train_log.append(tmp_path, 5, {"l_pix": 1})
    with open(tmp_path / train_log.FILE, "a") as file:
        file.write('\n{"iteration": 10, "l_p')
    train_log.append(tmp_path, 10, {"l_pix": 2})
    train_log.append(tmp_path, 15, {"l_pix": 3})
    assert list(train_log.read(tmp_path)) == [5, 10, 15]
    assert train_log.read(tmp_path / "nowhere") == {}


def test_a_log_that_cannot_be_written_does_not_end_a_training(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING, "basicsr"):
        train_log.append(tmp_path / "file", 5, {"l_pix": 1})
    assert train_log.read(tmp_path / "file") == {}
