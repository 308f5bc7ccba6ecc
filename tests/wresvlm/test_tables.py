"""Figures of a run and their page."""

import io
import re
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest
from run_files import write_files

from wxr_plugin.labels.store import LabelStore
from wxr_plugin.pseudo_labelling.gate_counts import GateCounts, record
from wxr_plugin.wresvlm.checking import load_run
from wxr_plugin.wresvlm.digests import FileDigests
from wxr_plugin.wresvlm.records import changes
from wxr_plugin.wresvlm.report import pages, scores, tables
from wxr_plugin.wresvlm.report.scores import Scores


def row(photo, weather, values):
    return {"photo": photo, "weather": weather, "files": {"round_1": "f"}, "values": values}


def test_overall_is_the_unweighted_mean_over_the_weathers():
    means = scores.by_weather(
        [("rain", 1.0), ("rain", 2.0), ("rain", 3.0), ("haze", 5.0), ("snow", 8.0)]
    )
    assert means == {"rain": 2.0, "haze": 5.0, "snow": 8.0, "overall": 5.0}
    assert scores.by_weather([("all", 1.0), ("all", 2.0)]) == {"all": 1.5}


def test_photos_that_were_not_measured_at_every_step_do_not_count():
    rows = [
        row("rain/a", "rain", {"input": {"VLM-Vis": 0.2}, "round_1": {"VLM-Vis": 0.4}}),
        row("rain/b", "rain", {"input": {"VLM-Vis": 0.9}}),
    ]
    (measure,) = scores.of_photos(rows, {})
    assert measure.values == {"input": {"rain": 0.2}, "round_1": {"rain": 0.4}}


def test_the_best_of_a_column_is_marked_as_the_metric_says():
    values = {"input": {"rain": 3.0, "overall": 3.0}, "round_1": {"rain": 2.0, "overall": 4.0}}
    assert lines(Scores("m", values)) == [
        "stage       rain  overall",
        "input     *3.000    3.000",
        "round_1  2.000 ▼   *4.000",
    ]
    assert lines(Scores("m", values, "lower"))[1:] == [
        "input     3.000   *3.000",
        "round_1  *2.000  4.000 ▼",
    ]


def lines(measure):
    """Return the lines of a measure's table as they are printed into a pipe, without the title."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        scores.print_figures(measure.table())
    return printed.getvalue().splitlines()[1:]


def test_the_inputs_validation_is_the_first_row_and_what_is_worse_is_marked(tmp_path, monkeypatch):
    for name, value in (("supervised", 10.0), ("round_1", 13.0)):
        table = tmp_path / name / "validation"
        table.mkdir(parents=True)
        (table / "held.csv").write_text(f"iter,image,psnr,psnr_input\n4,a,{value},12.0\n")
    opt = {
        "datasets": {"val": {"name": "held"}},
        "val": {"metrics": {"psnr": {"better": "higher"}}},
    }
    settings = SimpleNamespace(supervised=opt, train=opt, experiment=tmp_path.joinpath)
    monkeypatch.setattr(scores, "steps", lambda settings, stages: stages)
    (measure,) = scores.of_validation(settings, ["supervised", "round_1"])
    assert measure.title == "psnr, held"
    assert [line.split(maxsplit=1) for line in lines(measure)[1:]] == [
        ["input", "12.000"],
        ["supervised", "10.000 ▼"],
        ["round_1", "*13.000"],
    ]


def test_the_last_validation_counts_by_weather_without_what_a_metric_refused(tmp_path):
    (tmp_path / "validation").mkdir()
    lines = [
        "iter,image,weather,psnr",
        "2,a,rain,1.0",
        "4,a,rain,10.0",
        "4,b,rain,nan",
        "4,c,snow,30.0",
    ]
    (tmp_path / "validation/held.csv").write_text("\n".join(lines))
    (tmp_path / "validation/Rain100H.csv").write_text("iter,image,psnr\n4,a,10.0\n4,b,20.0")
    assert scores._validated(tmp_path, {"name": "held"}) == {
        "psnr": {"rain": 10.0, "snow": 30.0, "overall": 20.0}
    }
    assert scores._validated(tmp_path, {"name": "Rain100H"}) == {"psnr": {"rain": 15.0}}
    assert scores._validated(tmp_path, {"name": "gone"}) == {}


def test_the_gate_of_a_round_has_the_last_counts_of_its_training(tmp_path):
    labels, experiment = tmp_path / "labels.lmdb", tmp_path / "experiment"
    with LabelStore(labels) as store:
        store.put_pseudo("a", np.zeros((4, 4, 3), np.uint8), 3.0, "teacher@9", 9)
        store.put_pseudo("b", np.zeros((4, 4, 3), np.uint8), 4.0, "input", 9)
    for iteration in (10, 20):
        record(experiment, GateCounts(iteration, 4 * iteration, iteration, 0, 2, 3.5))
    settings = SimpleNamespace(
        options=SimpleNamespace(rounds=[SimpleNamespace(rater="bright")]),
        uses_labels=True,
        experiment=lambda stage: experiment,
        labels=lambda stage: labels,
    )
    _, rows = tables.gates(settings, ["round_1"])
    assert rows == [["round_1", "bright", "80", "20", "25.0%", "2", "1", "3.50"]]


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        ({"type": "RunBright", "device": "cpu"}, "took part in training (bright)"),
        ({"type": "TransformersRater", "prompt": "quality"}, "hardly an independent judge"),
        ({"type": "ServerRater", "url": "http://localhost:1/v1", "model": "other"}, ""),
    ],
)
def test_a_judge_that_took_part_in_training_is_reported(folder, judge, words):
    raters = {"bright": {"type": "RunBright"}, "vlm": {"type": "TransformersRater"}, "judge": judge}
    rounds = [{"rater": "bright", "iterations": 4}]
    write_files(
        folder, raters=raters, panel=["bright", "vlm"], rounds=rounds, report={"rater": "judge"}
    )
    note = pages.judge_note(load_run("run.yml"))
    assert words in note and bool(note) == bool(words)


def test_a_judge_that_is_written_in_another_way_is_the_same_judge(folder):
    """Defaults that are spelled out, and means that change the speed alone, make no other rater."""
    vlm = {"type": "TransformersRater", "model": "tiny", "batch_size": 2}
    raters = {"bright": {"type": "RunBright"}, "vlm": vlm, "judge": {}}
    rounds = [{"rater": "vlm", "iterations": 4}]
    write_files(
        folder, raters=raters, panel=["bright", "vlm"], rounds=rounds, report={"rater": "judge"}
    )
    assert "took part in training (vlm)" in pages.judge_note(load_run("run.yml"))


def test_changes_are_reported_in_words():
    before = {"lr": 1, "stage init": "a", "weights": None, "gone": 2}
    now = {"lr": 2, "stage init": "b", "weights": "x", "new": 3}
    assert changes(before, now) == [
        "lr changed from 1 to 2",
        "init was made again",
        "gone was taken out",
        "new is given now (3)",
    ]
    assert changes({"stage panel_2": "a"}, {"stage round_1": "b"}) == [
        "panel_2 left",
        "round_1 joined",
    ]


def test_files_are_read_again_only_where_size_or_time_changed(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    digests = FileDigests(tmp_path / "digests.json")
    first = digests.file(file)
    digests.save()
    later = FileDigests(tmp_path / "digests.json")
    later.known[str(file.resolve())][2] = "remembered"
    assert later.file(file) == "remembered"
    file.write_bytes(b"two!")
    assert later.file(file) not in (first, "remembered")
    (tmp_path / "digests.json").write_text("{broken")
    assert FileDigests(tmp_path / "digests.json").file(file) == later.file(file)


def test_the_digest_of_a_folder_depends_on_names_and_contents(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"x")
    digests = FileDigests(tmp_path / "digests.json")
    assert digests.path(tmp_path / "a") == digests.path(tmp_path / "b")
    assert re.fullmatch(r"1 images [0-9a-f]{16}", digests.path(tmp_path / "a"))
    (tmp_path / "b/1.png").rename(tmp_path / "b/2.png")
    assert digests.path(tmp_path / "a") != digests.path(tmp_path / "b")
    assert digests.path(tmp_path / "c") is None
