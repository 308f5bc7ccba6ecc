"""The label store that a round begins with."""

import numpy as np

from wxr_plugin.labels.store import LabelStore
from wxr_plugin.wresvlm.label_stages import begin_labels

BY = {"type": "test"}
IMAGE = np.zeros((4, 5, 3), np.uint8)


def test_a_round_begins_with_labels_of_one_stage_and_texts_of_another(tmp_path):
    with LabelStore(tmp_path / "labels") as labels:
        labels.put_pseudo("a", IMAGE, 4.0, "tiny", 0)
    with LabelStore(tmp_path / "texts") as texts:
        texts.put_pseudo("b", IMAGE, 2.0, "input", 0)
        texts.put_rating("a", "0" * 32, BY, 3.0, (0.0,) * 5)
        texts.put_description("a", "0" * 32, BY, "It rains.")
        texts.put_rewrite("a", "It rains.", BY, "It is clear.")
    begin_labels(tmp_path / "round", tmp_path / "labels", tmp_path / "texts")
    with LabelStore(tmp_path / "round", readonly=True) as store:
        assert list(store.pseudo_index()) == ["a"]
        assert store.texts() == {"a": ("It rains.", "It is clear.")}
        assert store.answers("rating") == []
        assert list(store.provenances().values()) == [BY]


def test_texts_alone_make_a_store_too(tmp_path):
    with LabelStore(tmp_path / "texts") as texts:
        texts.put_description("a", "0" * 32, BY, "It rains.")
    begin_labels(tmp_path / "round", None, tmp_path / "texts")
    with LabelStore(tmp_path / "round", readonly=True) as store:
        assert store.descriptions()["a"].text == "It rains."
