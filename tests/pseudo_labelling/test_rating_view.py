"""What the rater sees of a crop: its surroundings, whose they are, and the mirror image."""

import numpy as np
import pytest
import torch
from rating_toys import BrightnessRater, grey

from wxr_plugin.data.crops import Box
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.real_weather_dataset import RealWeatherDataset
from wxr_plugin.errors import OptionError
from wxr_plugin.labels.listing import rows
from wxr_plugin.labels.store import LabelStore, provenance_hash
from wxr_plugin.pseudo_labelling.gate import Candidate, ImageRating, RatingRequest
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.rating_client import SyncRatingClient
from wxr_plugin.pseudo_labelling.rating_view import (
    Surroundings,
    View,
    ViewSettings,
    batch_surroundings,
)

SIDES = 20, 30
"""Height and width of the photo."""
SIZE, CONTEXT = 8, 4


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255


def around(photo: np.ndarray, box: Box) -> Surroundings:
    outer = box.grown(CONTEXT, *photo.shape[:2])
    part = photo[outer.top : outer.bottom, outer.left : outer.right]
    return Surroundings(f"a@{outer}", part, box.relative_to(outer))


class WatchingRater(BrightnessRater):
    """Keeps the pictures of every call."""

    def __init__(self):
        super().__init__()
        self.pictures = []

    def rate(self, images):
        self.pictures.append(images)
        return super().rate(images)


@pytest.fixture
def start(tmp_path):
    """Makes pseudo-labels that show crops in their surroundings, on one store."""

    def make(context=CONTEXT, mirrored=False, **settings):
        client = SyncRatingClient(WatchingRater())
        path = tmp_path / "labels.lmdb"
        return PseudoLabels(path, client, view=ViewSettings(context, mirrored), **settings)

    return make


def visit(labels, iteration, photo, box, teacher):
    """Train for one iteration on the crop at `box`, which the teacher turns to the grey `teacher`.

    Return the rated pictures.
    """
    crop = tensor(photo[box.top : box.bottom, box.left : box.right])
    pictures = labels.client.rater.pictures
    pictures.clear()
    restored = grey(teacher, size=SIZE)
    labels.best([f"a@{box}"], crop, iteration, [0], restored, None, [around(photo, box)])
    labels.write(iteration)
    return pictures[0] if pictures else []


def pasted(photo: np.ndarray, box: Box, level: float) -> np.ndarray:
    """The surroundings of `box` with a grey crop, cut from the whole photo."""
    whole = photo.copy()
    whole[box.top : box.bottom, box.left : box.right] = round(255 * level)
    outer = box.grown(CONTEXT, *photo.shape[:2])
    return whole[outer.top : outer.bottom, outer.left : outer.right]


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        (Box(10, 6, 18, 14), (16, 16)),
        (Box(0, 6, 8, 14), (16, 12)),
        (Box(22, 12, 30, 20), (12, 12)),
        (Box(2, 1, 10, 9), (13, 14)),
    ],
    ids=["inside", "left-border", "corner", "near-a-corner"],
)
def test_the_rated_pictures_are_the_surroundings_with_each_image_pasted(start, box, shape):
    photo = noise(*SIDES)
    labels = start()
    own, teacher = visit(labels, 1, photo, box, 0.6)
    assert teacher.shape[:2] == shape
    np.testing.assert_array_equal(teacher, pasted(photo, box, 0.6))
    outer = box.grown(CONTEXT, *SIDES)
    np.testing.assert_array_equal(own, photo[outer.top : outer.bottom, outer.left : outer.right])
    (label,) = labels.store.pseudo_labels()
    assert label.image.shape == (SIZE, SIZE, 3)
    best = max((own, teacher), key=np.mean)
    assert label.rating == pytest.approx(1 + 4 * best.mean() / 255)


def test_the_padding_of_a_small_photo_is_not_pasted():
    place = Surroundings("a@0,0,6,10", noise(10, 6), Box(0, 2, 6, 8))
    picture = place.filled(np.full((8, 8, 3), 7, np.uint8))
    assert (picture[2:8] == 7).all()
    np.testing.assert_array_equal(picture[8:], place.picture[8:])
    np.testing.assert_array_equal(place.picture, noise(10, 6))


def test_the_label_and_its_rating_are_those_of_the_crop_in_later_visits(start):
    photo, box = noise(*SIDES) // 2, Box(10, 6, 18, 14)
    labels = start()
    visit(labels, 1, photo, box, 0.7)
    (picture,) = visit(labels, 2, photo, box, 0.5)  # the label has its rating in the same place
    np.testing.assert_array_equal(picture, pasted(photo, box, 0.5))
    (label,) = labels.store.pseudo_labels()
    assert (label.source, label.iteration) == ("teacher@1", 1)
    visit(labels, 3, photo, box, 0.9)
    (label,) = labels.store.pseudo_labels()
    assert (label.source, label.iteration) == ("teacher@3", 3)
    assert labels.accepted == 2


def test_an_accepted_label_of_the_photo_becomes_the_surroundings(start):
    """Its crops are then rated again, because their ratings were made in other surroundings."""
    photo, restored, box = noise(*SIDES), noise(*SIDES, seed=1), Box(10, 6, 18, 14)
    labels = start()
    visit(labels, 1, photo, box, 0.9)
    labels.store.put_pseudo("a", restored, 4.0, "restormer", 0, "panel")
    own, teacher = visit(labels, 2, photo, box, 0.8)
    np.testing.assert_array_equal(own, pasted(restored, box, 0.9))
    np.testing.assert_array_equal(teacher, pasted(restored, box, 0.8))
    newest = labels.store.get_pseudo(f"a@{box}")
    assert (newest.source, newest.iteration) == ("teacher@1", 2)
    assert newest.rating == pytest.approx(1 + 4 * own.mean() / 255)
    (picture,) = visit(labels, 3, photo, box, 0.7)
    np.testing.assert_array_equal(picture, pasted(restored, box, 0.7))


def test_a_label_of_the_photo_in_another_size_is_left_alone(start, warnings_said):
    photo, box = noise(*SIDES), Box(22, 12, 30, 20)
    labels = start()
    labels.store.put_pseudo("a", noise(10, 10), 4.0, "restormer", 0, "panel")
    _, teacher = visit(labels, 1, photo, box, 0.6)
    np.testing.assert_array_equal(teacher, pasted(photo, box, 0.6))
    assert "the pseudo-label of a is 10 x 10 pixels" in warnings_said()[0]


def test_ratings_of_the_bare_crop_do_not_count_in_surroundings_or_the_other_way_round(start):
    photo, box = noise(*SIDES), Box(10, 6, 18, 14)
    counts = []
    for iteration, context in enumerate((0, CONTEXT, CONTEXT, 0), 1):
        labels = start(context)
        place = around(photo, box) if context else None
        crop = tensor(photo[box.top : box.bottom, box.left : box.right])
        labels.best([f"a@{box}"], crop, iteration, [0], grey(0.0, size=SIZE), None, [place])
        labels.write(iteration)
        counts.append(labels.rated)
        labels.store.close()
    assert counts == [2, 2, 1, 2]


def test_a_panel_finds_no_rating_in_surroundings_but_the_rater_is_listed(start):
    labels = start()
    labels.start()
    visit(labels, 1, noise(*SIDES), Box(10, 6, 18, 14), 0.6)
    assert labels.store.answers("rating") == []
    (label,) = labels.store.pseudo_labels()
    provenance = {"type": "brightness", "view": {"context": CONTEXT, "mirrored": False}}
    assert label.rater.startswith(provenance_hash(provenance))
    assert labels.store.provenances() == {labels.rater_hash: provenance}
    (row,) = rows(labels.store)
    assert (row["kind"], row["model"]) == ("pseudo-label", "brightness")


def test_a_new_run_knows_the_ratings_of_labels_in_surroundings(start, tmp_path):
    labels = start()
    visit(labels, 1, noise(*SIDES), Box(10, 6, 18, 14), 0.6)
    (row,) = labels.store.pseudo_labels()
    labels.store.close()
    with LabelStore(tmp_path / "next.lmdb") as store:
        store.put_pseudo(row.key, row.image, row.rating, row.source, 0, row.rater)
    client = SyncRatingClient(BrightnessRater())
    after = PseudoLabels(tmp_path / "next.lmdb", client, view=ViewSettings(CONTEXT))
    after.start()
    assert after.ratings == {row.key: row.rating}


class LeftRater(WatchingRater):
    """Rates the left column alone, so that a picture and its mirror image differ."""

    def rate(self, images):
        return super().rate([image[:, :1] for image in images])


def test_the_rating_is_the_mean_over_picture_and_mirror_image(start):
    photo, box = noise(*SIDES), Box(10, 6, 18, 14)
    labels = start(context=0, mirrored=True)
    labels.client.rater = LeftRater()
    crop = photo[box.top : box.bottom, box.left : box.right]
    labels.best([f"a@{box}"], tensor(crop), 1, [0], grey(0.0, size=SIZE))
    labels.write(1)
    assert labels.client.rater.calls == [4] and labels.rated == 4
    (label,) = labels.store.pseudo_labels()
    columns = crop[:, 0].mean(), crop[:, -1].mean()
    assert label.rating == pytest.approx(1 + 4 * np.mean(columns) / 255)


def test_an_image_whose_mirror_image_has_no_rating_has_none():
    label = Candidate("a", noise(2, 2), "input")
    request = RatingRequest(label, None, view=View(mirrored=True))
    left, right = request.unrated()
    np.testing.assert_array_equal(right, left[:, ::-1])
    rated = request.with_ratings([ImageRating(4.0, ()), ImageRating(float("nan"), ())])
    assert rated.label.rating is None
    rated = request.with_ratings([ImageRating(4.0, (0.0, 2.0)), ImageRating(3.0, (1.0, 4.0))])
    assert (rated.label.rating, rated.label.logits) == (3.5, (0.5, 3.0))


def test_a_request_takes_the_ratings_of_its_own_pictures_alone():
    labels = [Candidate(key, noise(2, 2), "input") for key in "ab"]
    requests = [RatingRequest(label, label, view=View(mirrored=True)) for label in labels]
    ratings = iter(ImageRating(float(value), ()) for value in (1, 3, 2, 2, 5, 5, 4, 2))
    rated = [request.with_ratings(ratings) for request in requests]
    assert [(request.label.rating, request.offered.rating) for request in rated] == [
        (2.0, 2.0),
        (5.0, 3.0),
    ]


def test_within_the_margin_the_newer_image_wins_in_surroundings_too(start):
    photo, box = noise(*SIDES) // 4, Box(10, 6, 18, 14)
    labels = start(margin=-0.1)
    for iteration, teacher in enumerate([0.6, 0.56, 0.2], 1):
        visit(labels, iteration, photo, box, teacher)
    assert labels.store.get_pseudo(f"a@{box}").source == "teacher@2"


def test_the_surroundings_of_a_batch_are_where_the_data_set_cut_them(tmp_path):
    write_image(tmp_path / "photos/a.png", noise(*SIDES))
    opt = {
        "name": "real",
        "phase": "train",
        "dataroot": str(tmp_path / "photos"),
        "gt_size": SIZE,
        "context": CONTEXT,
        "boxes_per_image": 8,
    }
    items = [RealWeatherDataset(opt).draw(0, np.random.default_rng(seed)) for seed in range(8)]
    batch = {
        "real_context": torch.stack([item["context"] for item in items]),
        "real_context_key": [item["context_key"] for item in items],
    }
    keys = [item["key"] for item in items]
    for place, item in zip(batch_surroundings(batch, keys, SIZE, CONTEXT), items):
        outer = Box(*map(int, place.key.partition("@")[2].split(",")))
        part = noise(*SIDES)[outer.top : outer.bottom, outer.left : outer.right]
        np.testing.assert_array_equal(place.picture, part)
        inside = tensor(place.picture[_slices(place.hole)])[0]
        torch.testing.assert_close(inside, item["lq"])


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box.top, box.bottom), slice(box.left, box.right)


@pytest.mark.parametrize("batch", [{}, {"real_context": torch.zeros(1, 3, 12, 12)}])
def test_a_data_set_without_surroundings_is_named_with_the_fix(batch):
    batch = {**batch, "real_context_key": ["a@0,0,12,12"]} if batch else batch
    with pytest.raises(OptionError, match=r"set datasets.train.real.context: 4 "):
        batch_surroundings(batch, ["a@2,2,10,10"], SIZE, CONTEXT)
