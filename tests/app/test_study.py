"""The blind study: order, resuming, answers on the disk, scores."""

import json

import numpy as np
import pytest

from wxr_plugin.app.study import ANSWERS, Study
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import WxrError


@pytest.fixture
def methods(tmp_path):
    folders = {}
    for number, name in enumerate(("ours", "theirs", "input")):
        for photo in ("p1", "p2", "deep/p3"):
            image = np.full((8, 8, 3), 40 * number, np.uint8)
            write_image(tmp_path / name / f"{photo}.png", image)
        folders[name] = tmp_path / name
    write_image(tmp_path / "ours" / "alone.png", np.zeros((8, 8, 3), np.uint8))
    return folders


def _all_answers(study: Study, choose) -> list:
    asked = []
    while question := study.next():
        asked.append(question)
        study.answer(question, choose(question))
    return asked


def test_every_pair_of_every_shared_photo_is_asked_once(methods, tmp_path):
    study = Study(tmp_path / "s", methods, "me")
    asked = _all_answers(study, lambda question: "tie")
    pairs = {(question.photo, frozenset(question[1:])) for question in asked}
    assert len(asked) == len(pairs) == 3 * 3
    assert {photo for photo, _ in pairs} == {"p1", "p2", "deep/p3"}
    assert study.progress() == (9, 9)


def test_order_and_sides_depend_on_seed_and_person(methods, tmp_path):
    def order(person, seed):
        return Study(tmp_path / "s", methods, person, seed).questions

    assert order("me", 0) == order("me", 0)
    assert order("me", 0) != order("me", 1)
    assert order("me", 0) != order("you", 0)


def test_study_resumes_after_the_last_answer(methods, tmp_path):
    study = Study(tmp_path / "s", methods, "me")
    for _ in range(4):
        study.answer(study.next(), "left")
    again = Study(tmp_path / "s", methods, "me")
    assert again.progress() == (4, 9)
    assert again.next() == study.next()


def test_answer_that_a_crash_cut_is_asked_again(methods, tmp_path):
    study = Study(tmp_path / "s", methods, "me")
    first = study.next()
    study.answer(first, "left")
    second = study.next()
    study.answer(second, "right")
    path = tmp_path / "s" / ANSWERS
    path.write_text(path.read_text()[:-15])
    again = Study(tmp_path / "s", methods, "me")
    assert again.next() == second
    again.answer(second, "tie")
    assert [row.choice for row in again.answers()] == ["left", "tie"]


def test_damaged_line_in_the_middle_is_named(methods, tmp_path):
    study = Study(tmp_path / "s", methods, "me")
    study.answer(study.next(), "left")
    path = tmp_path / "s" / ANSWERS
    path.write_text("{nonsense\n" + path.read_text())
    with pytest.raises(WxrError, match=r"answers\.jsonl:1: not an answer"):
        study.answers()


def test_scores_follow_the_choices_of_all_persons(methods, tmp_path):
    for person in ("me", "you"):
        study = Study(tmp_path / "s", methods, person)
        _all_answers(study, lambda q: "left" if q.left < q.right else "right")
    # The choice is always the first name in the alphabet: input, ours, theirs.
    assert [score.method for score in study.scores()] == ["input", "ours", "theirs"]
    lines = study.csv().splitlines()
    assert lines[0] == "method,wins,comparisons,win_rate,score,low,high"
    assert lines[1].startswith("input,12.0,12,1.0000,")


def test_answers_have_person_and_time(methods, tmp_path):
    study = Study(tmp_path / "s", methods, " me ")
    study.answer(study.next(), "left")
    (row,) = map(json.loads, (tmp_path / "s" / ANSWERS).read_text().splitlines())
    assert row["person"] == "me" and row["time"] > 1e9 and row["choice"] == "left"


def test_second_answer_of_a_double_click_is_dropped(methods, tmp_path):
    study = Study(tmp_path / "s", methods, "me")
    question = study.next()
    study.answer(question, "left")
    study.answer(question, "right")
    assert [row.choice for row in study.answers()] == ["left"]


def test_wrong_studies(methods, tmp_path):
    with pytest.raises(WxrError, match="two methods or more"):
        Study(tmp_path / "s", {"ours": methods["ours"]}, "me")
    with pytest.raises(WxrError, match="name yourself"):
        Study(tmp_path / "s", methods, " ")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WxrError, match="no photo has a result in every folder"):
        Study(tmp_path / "s", {**methods, "none": tmp_path / "empty"}, "me")
    study = Study(tmp_path / "s", methods, "me")
    with pytest.raises(WxrError, match="left, right or tie"):
        study.answer(study.next(), "both")


def test_links_out_of_a_folder_of_results_are_left_out(tmp_path):
    photo = np.zeros((8, 8, 3), np.uint8)
    for name in ("a", "b"):
        write_image(tmp_path / name / "1.png", photo)
    write_image(tmp_path / "secret.png", photo)
    for name in ("a", "b"):
        (tmp_path / name / "2.png").symlink_to(tmp_path / "secret.png")
    study = Study(tmp_path / "s", {name: tmp_path / name for name in ("a", "b")}, "me")
    assert {question.photo for question in study.questions} == {"1"}


def test_a_negative_seed_is_refused(tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / name / "1.png", np.zeros((8, 8, 3), np.uint8))
    methods = {name: tmp_path / name for name in ("a", "b")}
    with pytest.raises(WxrError, match="seed -1: take 0 or more"):
        Study(tmp_path / "s", methods, "me", -1)
