"""Rating in another process: nothing waits for it, and it ends whatever happens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from rating_toys import BrightnessRater, grey, red_corner

from wxr_plugin.data.crops import Box
from wxr_plugin.errors import WxrError
from wxr_plugin.pseudo_labelling.async_rating_client import AsyncRatingClient
from wxr_plugin.pseudo_labelling.gate import Candidate, RatingRequest, to_arrays
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.rater_process import Rated, RaterProcess, Started, _rated
from wxr_plugin.pseudo_labelling.rating_client import RatingMemoryError, SyncRatingClient
from wxr_plugin.pseudo_labelling.rating_view import Surroundings, ViewSettings


def until(condition, seconds: float = 100):
    """Wait until `condition()` gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "this never came"
        time.sleep(0.02)
    return result


def is_there(pid: int) -> bool:
    """Whether a process is there, and more than a zombie."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text()


def start_client(room: int = 2, batch: int = 2, restarts: int = 1) -> AsyncRatingClient:
    """Start the rater of rating_toys in another process."""
    rater = {"type": "BrightnessRater", "seconds": 0.2}
    return AsyncRatingClient(lambda: RaterProcess(rater, ["rating_toys"]), room, batch, restarts)


@pytest.fixture(scope="module", autouse=True)
def path():
    """Where the process finds rating_toys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
        yield


@pytest.fixture(scope="module")
def client():
    """One process for the tests that leave it alive."""
    client = start_client()
    yield client
    client.close()


@pytest.fixture
def labels(tmp_path, client):
    return PseudoLabels(tmp_path / "labels.lmdb", client)


def visit(labels, iteration, keys, photos, restored):
    """Train for one iteration; return the labels' images and the names of the due crops."""
    rows = labels.due(keys, iteration)
    batch = labels.best(keys, photos, iteration, rows, restored[rows] if rows else None)
    labels.write(iteration)
    return batch.images, [keys[row] for row in rows]


def idle(labels, iteration=9):
    """Train for one iteration without a request, which only stores ratings that have come."""
    labels.best(["idle"], grey(0.5), iteration)
    labels.write(iteration)
    return labels


def stored(labels):
    return {row.key: (row.source, row.iteration) for row in labels.store.pseudo_labels()}


def test_training_does_not_wait_and_labels_land_later(labels):
    images, asked = visit(labels, 1, ["a", "b"], grey(0.2, 0.2), grey(0.6, 0.1))
    torch.testing.assert_close(images, grey(0.2, 0.2))
    assert asked == ["a", "b"] and stored(labels) == {}
    until(lambda: len(stored(idle(labels))) == 2)
    assert stored(labels) == {"a": ("teacher@1", 9), "b": ("input", 9)}
    images, asked = visit(labels, 10, ["a"], grey(0.2), grey(0.5))
    torch.testing.assert_close(images, grey(0.6))
    assert asked == ["a"]
    until(lambda: idle(labels).rated == 5)


def test_while_a_batch_is_under_way_the_newest_images_wait(labels):
    visit(labels, 1, ["a", "b", "c"], grey(0.2, 0.2, 0.2), grey(0.6, 0.6, 0.6))
    assert labels.due(["a", "b", "c", "d"], 2) == [2, 3]  # a and b are under way, c waits
    for iteration, (key, light) in enumerate([("c", 0.7), ("d", 0.8), ("e", 0.9), ("d", 0.5)], 2):
        visit(labels, iteration, [key], grey(0.2), grey(light))
    until(lambda: idle(labels).rated == 8)
    sources = {key: source for key, (source, _) in stored(labels).items()}
    assert sources == {
        "a": "teacher@1",
        "b": "teacher@1",
        "c": "teacher@2",
        "d": "teacher@5",
    }  # no room for e


def test_the_best_chances_go_first():
    process = NeverAnswers()
    client = AsyncRatingClient(lambda: process, room=2, batch=1)
    image = to_arrays(grey(0.5))[0]
    chances = {"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.2}
    client.rate(
        [
            RatingRequest(Candidate(key, image, "input"), None, chance=chance)
            for key, chance in chances.items()
        ]
    )
    assert [request.key for request in client._under_way] == ["b"]
    assert sorted(client._waiting) == ["c", "d"]


def test_another_process_gives_the_same_labels_in_surroundings(tmp_path, client):
    """Each crop lies at its own place of a photo, and is rated with its mirror image."""
    rng = np.random.default_rng(0)
    boxes = [Box(2, 2, 6, 6), Box(0, 0, 4, 4)]
    keys = [f"a@{box}" for box in boxes]
    pictures = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in keys]
    around = [Surroundings(key, image, box) for key, image, box in zip(keys, pictures, boxes)]
    ends = {}
    for name, own in (("sync", SyncRatingClient(BrightnessRater())), ("async", client)):
        labels = PseudoLabels(tmp_path / name, own, view=ViewSettings(2, mirrored=True))
        labels.best(keys, grey(0.4, 0.4), 1, [0, 1], grey(0.6, 0.2), None, around)
        labels.write(1)
        until(lambda labels=labels: len(stored(idle(labels))) == 2)
        rows = labels.store.pseudo_labels()
        ends[name] = [(row.key, row.source, row.rating, row.png, row.rater) for row in rows]
    assert ends["async"] == ends["sync"]
    assert [source for _, source, *_ in ends["sync"]] == ["input", "teacher@1"]


class NeverAnswers:
    """A process that takes its time."""

    def wait(self) -> Started:
        return Started({"type": "never"})

    def messages(self) -> list:
        return []

    def send(self, images: list) -> None:
        """Nothing comes of it."""


def test_an_image_without_an_answer_is_counted(labels):
    visit(labels, 1, ["a"], grey(0.2), red_corner(grey(0.6)))
    until(lambda: idle(labels).failures.count)
    assert stored(labels) == {"a": ("input", 9)}


def test_a_process_without_memory_stops_training(tmp_path):
    """The first rater runs out of memory while it rates; the second while it is started again."""
    for answer in (
        Rated(None, "OutOfMemoryError: 7 GiB", True),
        Started({}, "OutOfMemoryError: 7 GiB", True),
    ):
        process = NeverAnswers()
        labels = PseudoLabels(
            tmp_path / type(answer).__name__, AsyncRatingClient(lambda process=process: process)
        )
        visit(labels, 1, ["a"], grey(0.2), grey(0.6))
        process.messages = lambda answer=answer: [answer]
        with pytest.raises(RatingMemoryError, match="OutOfMemoryError: 7 GiB"):
            idle(labels)
        assert labels.failures.count == 0


def test_a_rater_says_whether_memory_or_the_rater_failed():
    for error, expected in ((MemoryError(), True), (ValueError("no"), False)):
        rater = type("Rater", (), {"rate": lambda self, images, error=error: raising(error)})()
        assert _rated(rater, []).out_of_memory is expected


def raising(error: Exception) -> None:
    raise error


@pytest.mark.slow
def test_a_process_that_dies_is_replaced_and_then_done_without(tmp_path, warnings_said):
    client = start_client()
    labels = PseudoLabels(tmp_path / "labels.lmdb", client)
    visit(labels, 1, ["a"], grey(0.2), grey(0.6))
    os.kill(client.process.pid, signal.SIGKILL)
    until(lambda: labels.due(["a"], 2))
    visit(labels, 2, ["a"], grey(0.2), grey(0.6))
    until(lambda: stored(idle(labels)))
    os.kill(client.process.pid, signal.SIGKILL)
    until(lambda: idle(labels).client.process is None)
    assert stored(labels) == {"a": ("teacher@2", 9)}
    images, asked = visit(labels, 10, ["a"], grey(0.2), grey(0.9))
    torch.testing.assert_close(images, grey(0.6))
    said = warnings_said()
    assert "died with 1 requests under way" in said[0] and "0 restarts are left" in said[0]
    assert "training continues without ratings" in said[1] and len(said) == 2 and asked == []


def test_a_rater_that_cannot_be_built_is_named():
    with pytest.raises(
        WxrError, match=r"train.rating.async: the rater does not start: .*no-such-model"
    ):
        AsyncRatingClient(lambda: RaterProcess({"model": "no-such-model"}, []))


TRAINER = """
import signal, sys, time
import torch
import wxr_plugin
from rating_toys import grey
from wxr_plugin.pseudo_labelling.gate import Candidate, RatingRequest, to_arrays
from wxr_plugin.pseudo_labelling.async_rating_client import AsyncRatingClient
from wxr_plugin.pseudo_labelling.rater_process import RaterProcess
if __name__ == "__main__":
    # A process that a shell starts in the background ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rater = {"type": "BrightnessRater", "seconds": 60}
    client = AsyncRatingClient(lambda: RaterProcess(rater, ["rating_toys"]))
    image = to_arrays(grey(0.5))[0]
    client.rate([RatingRequest(Candidate("a", image, "input"), None)])
    print(client.process.pid, flush=True)
    if sys.argv[1] == "error":
        raise RuntimeError("training failed")
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["error", signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_when_the_trainer_ends(tmp_path, end):
    """The rater is in the middle of a rating that takes a minute."""
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    paths = f"{Path(__file__).parents[1] / 'helpers'}:{Path(__file__).parents[2]}"
    command, environment = (
        [sys.executable, str(script), str(end)],
        {**os.environ, "PYTHONPATH": paths},
    )
    with open(tmp_path / "log.txt", "w") as log:
        trainer = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
    pid = int(trainer.stdout.readline())
    if end != "error":
        trainer.send_signal(end)
    trainer.wait(timeout=60)
    until(lambda: not is_there(pid))
