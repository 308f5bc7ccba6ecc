"""Progress bars on a terminal and off it."""

import io
import logging

import pytest
from rich.console import Console

from wxr_plugin.utils.progress import TrainingBar, batches, counting_bar, progress_bar, track


def terminal() -> Console:
    """Return a console that believes to be a terminal and keeps what is drawn."""
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def test_track_yields_the_items_and_draws_their_count():
    console = terminal()
    assert list(track("abc", "reading", console=console)) == ["a", "b", "c"]
    assert "reading" in console.file.getvalue() and "3/3" in console.file.getvalue()


def test_track_takes_the_total_of_an_iterator():
    console = terminal()
    assert list(track(iter("ab"), "reading", 2, console)) == ["a", "b"]
    assert "2/2" in console.file.getvalue()


def test_batches_keep_order_and_count_from_those_that_were_done(capsys):
    assert list(batches([1, 2, 3, 4, 5], 2, "data", done=3)) == [[1, 2], [3, 4], [5]]
    captured = capsys.readouterr()
    assert "8/8" in captured.err and captured.out == ""
    assert list(batches([1, 2], 2, "data", shown=False)) == [[1, 2]]
    assert capsys.readouterr().err.strip() == ""


def test_a_counting_bar_prints_its_final_state_to_stderr(capsys):
    with counting_bar("rating", 3) as advance:
        advance(1, "")
        advance(2, "1 failed")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3/3" in captured.err and "1 failed" in captured.err


def test_a_bar_off_a_terminal_prints_no_control_codes():
    console = Console(file=io.StringIO())
    with progress_bar(console) as bar:
        bar.add_task("photos", total=1, completed=1, note="")
    assert "1/1" in console.file.getvalue() and "\x1b" not in console.file.getvalue()


def test_the_training_bar_draws_on_a_terminal_only():
    logger = logging.getLogger("bar")
    assert TrainingBar.start(10, logger, Console(file=io.StringIO())) is None
    console = terminal()
    bar = TrainingBar.start(10, logger, console)
    bar.update(4, "loss 0.25")
    assert list(bar.track([1, 2], 2, "validate pairs")) == [1, 2]
    bar.stop()
    bar.stop()
    assert "4/10" in console.file.getvalue() and "loss 0.25" in console.file.getvalue()


def test_a_second_training_bar_stops_the_first(monkeypatch):
    monkeypatch.setattr(TrainingBar, "current", None)
    logger = logging.getLogger("bars")
    first = TrainingBar.start(1, logger, terminal())
    second = TrainingBar.start(1, logger, terminal())
    assert not first.bar.live.is_started and second.bar.live.is_started
    second.stop()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_loop_that_is_left_removes_its_bar(error):
    bar = TrainingBar(10, terminal())
    with pytest.raises(error):
        for _ in bar.track([1, 2], 2, "validate"):
            raise error
    bar.stop()
    assert [task.description for task in bar.bar.tasks] == ["train"]
