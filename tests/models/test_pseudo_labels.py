"""The gate: what becomes a pseudo-label, when, and how it comes back."""

import numpy as np
import pytest
import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.models.pseudo_labels import PseudoLabels
from wxr_plugin.vlm.rater import Ratings


class BrightnessRater:
    """1 for black, 5 for white; black with a red corner cannot be rated."""

    def __init__(self, name: str = "brightness"):
        self.provenance = {"type": name}
        self.calls: list[int] = []

    def rate(self, images: list[np.ndarray]) -> Ratings:
        self.calls.append(len(images))
        ratings = [np.nan if image[0, 0, 0] > image[0, 0, 1] else 1 + 4 * image.mean() / 255 for image in images]
        return Ratings(torch.tensor(ratings), torch.zeros(len(images), 5))


def grey(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).clone()


@pytest.fixture
def labels(tmp_path):
    return PseudoLabels(tmp_path / "labels.lmdb", BrightnessRater())


def stored(labels: PseudoLabels) -> dict[str, tuple[float, str, int]]:
    rows = labels.store.pseudo_labels()
    return {row.key: (round(row.rating, 4), row.source, row.iteration) for row in rows}


def test_a_photo_without_a_label_stands_for_itself(labels):
    images, ratings = labels.best(["a", "b"], grey(0.2, 0.6), None, "teacher@1")
    torch.testing.assert_close(images, grey(0.2, 0.6))
    torch.testing.assert_close(ratings, torch.tensor([1.8, 3.4]))
    assert stored(labels) == {}  # nothing before write
    labels.write(1)
    assert stored(labels) == {"a": (1.8, "input", 1), "b": (3.4, "input", 1)}
    assert labels.accepted == 0


def test_the_gate_opens_upwards_only(labels):
    photos = grey(0.4, 0.4)
    for iteration, (first, second) in enumerate([(0.6, 0.2), (0.8, 0.4), (0.2, 0.2)], 1):
        images, _ = labels.best(["a", "b"], photos, grey(first, second), f"teacher@{iteration}")
        labels.write(iteration)
    torch.testing.assert_close(images, grey(0.8, 0.4))
    assert stored(labels) == {"a": (4.2, "teacher@2", 2), "b": (2.6, "input", 1)}
    assert labels.accepted == 2
    assert labels.ratings == pytest.approx({"a": 4.2, "b": 2.6})


def test_a_better_restoration_is_the_label_of_its_own_iteration(labels):
    images, ratings = labels.best(["a"], grey(0.4), grey(0.8), "teacher@1")
    torch.testing.assert_close(images, grey(0.8))
    assert ratings.item() == pytest.approx(4.2)
    labels.write(1)
    assert stored(labels) == {"a": (4.2, "teacher@1", 1)}


def test_everything_new_is_rated_in_one_call_and_only_once(labels):
    labels.best(["a", "b"], grey(0.4, 0.4), grey(0.6, 0.6), "teacher@1")
    labels.write(1)
    labels.best(["a", "c"], grey(0.4, 0.4), grey(0.6, 0.6), "teacher@2")
    labels.write(2)
    labels.best(["a", "b", "c"], grey(0.4, 0.4, 0.4), None, "teacher@3")
    assert labels.rater.calls == [4, 3]


def test_a_dropped_update_leaves_nothing(labels):
    labels.best(["a"], grey(0.4), grey(0.8), "teacher@1")
    labels.discard()
    labels.write(1)
    assert stored(labels) == {} and labels.accepted == 0


def test_what_cannot_be_rated_or_is_not_finite_never_wins(labels):
    unrateable, broken = grey(0.9), grey(0.9)
    unrateable[0, 1:, 0, 0] = 0
    broken[0, 0, 0, 0] = float("nan")
    restored = torch.cat((unrateable, broken))
    images, ratings = labels.best(["a", "b"], grey(0.0, 0.0), restored, "teacher@1")
    torch.testing.assert_close(images, grey(0.0, 0.0))
    assert ratings.tolist() == [1, 1]


def test_a_photo_that_comes_twice_in_a_batch_gets_one_label(labels):
    images, _ = labels.best(["a", "a"], grey(0.4, 0.4), grey(0.6, 0.8), "teacher@1")
    torch.testing.assert_close(images, grey(0.8, 0.8))
    labels.write(1)
    assert stored(labels) == {"a": (4.2, "teacher@1", 1)} and labels.accepted == 1


def test_a_label_from_another_rater_is_rated_anew(tmp_path):
    with LabelStore(tmp_path / "labels.lmdb") as store:
        store.put_pseudo("a", np.full((4, 4, 3), 128, np.uint8), 4.9, "restormer", 0, "another rater")
    labels = PseudoLabels(tmp_path / "labels.lmdb", BrightnessRater())
    labels.start()
    images, ratings = labels.best(["a"], grey(0.2), grey(0.4), "teacher@1")
    assert ratings.item() == pytest.approx(1 + 4 * 128 / 255)
    torch.testing.assert_close(images, grey(128 / 255))
    labels.write(1)
    assert stored(labels) == {"a": (pytest.approx(3.0078, abs=1e-4), "restormer", 1)}


def test_labels_of_another_run_are_not_taken_for_a_start(labels):
    labels.best(["a"], grey(0.4), None, "teacher@7")
    labels.write(7)
    with pytest.raises(WxrError, match="came to iteration 7: resume that run, or give this one another"):
        labels.start()


def test_a_resumed_run_has_the_labels_of_its_checkpoint(labels):
    labels.best(["a", "b"], grey(0.2, 0.2), grey(0.4, 0.1), "teacher@1")
    labels.write(1)
    labels.commit(1, keep=3)
    known, state = stored(labels), labels.state()
    labels.best(["a", "c"], grey(0.2, 0.2), grey(0.8, 0.8), "teacher@2")
    labels.write(2)
    assert stored(labels) != known and labels.accepted == 3
    labels.resume(state, 1)
    assert stored(labels) == known and labels.accepted == 1 and labels.state() == state
