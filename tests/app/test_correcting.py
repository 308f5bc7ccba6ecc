"""Correcting pseudo-labels by hand: provenance, nothing lost, wrong input."""

import json

import cv2
import numpy as np
import pytest

from wxr_plugin.app import correcting
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.store import LabelStore, content_hash

OLD = np.full((6, 8, 3), 50, np.uint8)
NEW = np.full((6, 8, 3), 90, np.uint8)


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "rain.labels.lmdb"
    with LabelStore(path) as labels:
        rater = {"model": "tiny"}
        labels.put_rating("street", content_hash(OLD), rater, 3.5, (1, 2, 3, 4, 5))
        labels.put_rating("street", content_hash(NEW), rater, 2.5, (1, 2, 3, 4, 5))
        labels.put_pseudo("street", OLD, 3.5, "small", 0, labels.put_provenance(rater))
        labels.put_pseudo("street", OLD, 3.6, "teacher", 40)
        labels.put_pseudo("lake", OLD, 4.0, "small", 0)
    return path


def test_table_versions_and_votes(store):
    assert [tuple(row) for row in correcting.rows(store)] == [
        ("lake", 4.0, "small", 0),
        ("street", 3.6, "teacher", 40),
    ]
    captions = [caption for _, caption in correcting.versions(store, "street")]
    assert captions == ["teacher, rated 3.60, iteration 40", "small, rated 3.50, iteration 0"]
    states = [row[1:] for row in correcting.votes(store, "street")]
    assert states == [(3.5, "tiny", "label in force"), (2.5, "tiny", "refused")]


def test_correction_is_stored_with_its_provenance(store):
    correcting.correct(store, "street", NEW, 4.5, " Ada ")
    with LabelStore(store, readonly=True) as labels:
        label = labels.get_pseudo("street")
        facts = labels.provenances()[label.rater]
    assert (label.source, label.rating, label.iteration) == ("person", 4.5, 40)
    assert np.array_equal(label.image, NEW)
    assert facts["who"] == "Ada" and facts["before"]["source"] == "teacher"
    assert facts["after"] == content_hash(NEW)


def test_provenance_is_listed_by_name(store):
    assert correcting.provenance(store, "lake") == []
    correcting.correct(store, "street", NEW, 4.5, "Ada")
    facts = dict(correcting.provenance(store, "street"))
    assert facts["model"] == "person" and facts["who"] == "Ada"
    assert facts["before.source"] == "teacher" and facts["before.rating"] == "3.6"


def test_what_was_replaced_is_kept(store):
    correcting.correct(store, "street", NEW, 4.5, "Ada")
    correcting.correct(store, "street", OLD // 2, 4.6, "Bob")
    folder = store.with_name(store.name + correcting.SUFFIX)
    lines = (folder / correcting.JOURNAL).read_text().splitlines()
    assert [json.loads(line)["who"] for line in lines] == ["Ada", "Bob"]
    for image in (OLD, NEW):
        kept = cv2.imread(str(folder / f"{content_hash(image)}.png"))
        assert np.array_equal(kept, image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("street", NEW, 4.5, " "), "name yourself"),
        (("street", NEW, 0.5, "Ada"), "take 1"),
        (("street", NEW[:4], 4.5, "Ada"), "8x4 pixels, the stored one 8x6"),
        (("none", NEW, 4.5, "Ada"), "no pseudo-label of none"),
    ],
)
def test_wrong_corrections_change_nothing(store, arguments, message):
    before = correcting.rows(store)
    with pytest.raises(WxrError, match=message):
        correcting.correct(store, *arguments)
    assert correcting.rows(store) == before
    assert not store.with_name(store.name + correcting.SUFFIX).exists()
