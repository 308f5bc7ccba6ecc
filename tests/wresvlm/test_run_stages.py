"""Stages that are made, made again, resumed and skipped."""

import multiprocessing
import os
from pathlib import Path

import pytest
from run_files import write_files

from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.errors import WxrError
from wxr_plugin.wresvlm import records
from wxr_plugin.wresvlm.chain import Stage
from wxr_plugin.wresvlm.checking import load_run
from wxr_plugin.wresvlm.run import Run, only_here


class Work:
    """Two stages, the second from the first, whose inputs tests change; `fails` is killed."""

    def __init__(self, settings):
        self.settings, self.said, self.calls = settings, [], []
        self.inputs, self.fails = (
            {"first": {"iterations": 200}, "second": {"photos": "2 images"}},
            "",
        )

    def make(self, **how):
        run = Run(self.settings, say=self.said.append)
        run.stages = [self._stage("first"), self._stage("second", "first"), self._stage("other")]
        self.said.clear()
        self.calls.clear()
        run.make(**how)
        return run

    def states(self):
        run = self.make(until="first")
        return {state.name: (state.word, state.why) for state in run.states()}

    def _stage(self, name, *needs):
        def work(folder):
            self.calls.append(name)
            (folder / "half").touch()
            if self.fails == name:
                raise WxrError("the disk is full")
            (folder / "result").write_text(str(self.inputs.get(name)))

        return Stage(name, needs, lambda: dict(self.inputs.get(name, {})), work)


@pytest.fixture
def work(folder):
    return Work(load_run("run.yml"))


def test_stages_are_made_once(work):
    work.make()
    assert work.calls == ["first", "second", "other"]
    work.make()
    assert work.calls == []
    assert work.said == [f"[{name}] done before, skipped" for name in ("first", "second", "other")]


def test_a_change_makes_the_stage_and_what_builds_on_it_again_and_keeps_the_old(work, folder):
    work.make()
    work.inputs["first"]["iterations"] = 400
    work.make()
    assert work.calls == ["first", "second"]
    assert "[first] made again, because iterations changed from 200 to 400" in work.said[0]
    assert any(
        line.startswith("[second] made again, because first was made again") for line in work.said
    )
    assert (folder / "work/first/result").read_text() == "{'iterations': 400}"
    assert (folder / "work/old/first.1/result").read_text() == "{'iterations': 200}"


def test_a_stage_that_was_stopped_resumes_in_its_folder_unless_its_inputs_changed(work, folder):
    work.fails = "second"
    with pytest.raises(WxrError, match="the disk is full"):
        work.make()
    assert work.states()["second"] == ("under way", "")
    work.fails = ""
    work.make()
    assert work.calls == ["second", "other"]
    assert "[second] was stopped, resumes" in work.said
    assert records.read(folder / "work/second").attempts == 2
    assert not (folder / "work/old").exists()
    work.fails, work.inputs["second"] = "second", {"photos": "3 images"}
    with pytest.raises(WxrError):
        work.make()
    work.fails, work.inputs["second"] = "", {"photos": "4 images"}
    work.make()
    assert (folder / "work/old/second.2/half").exists()


def test_redo_and_until(work):
    work.make(until="second")
    assert work.calls == ["first", "second"]
    work.make(redo=["first"])
    assert work.calls == ["first", "second", "other"]
    with pytest.raises(
        WxrError, match="no stage 'secnd' in this run; its stages are first, second, other"
    ):
        work.make(until="secnd")


def test_states_say_what_would_happen_and_why(work):
    assert {name: word for name, (word, _) in work.states().items()} == {
        "first": "done",
        "second": "new",
        "other": "new",
    }
    work.make()
    work.inputs["second"] = {"photos": "3 images"}
    assert work.states()["second"] == ("outdated", "photos changed from 2 images to 3 images")


def test_a_folder_without_a_record_is_set_aside(work, folder):
    (folder / "work/first").mkdir(parents=True)
    (folder / "work/first/mine.txt").write_text("precious")
    work.make()
    assert (folder / "work/old/first.1/mine.txt").read_text() == "precious"


def test_a_stage_that_was_killed_before_its_record_leaves_nothing_to_set_aside(work, folder):
    (folder / "work/first").mkdir(parents=True)
    (folder / "work/first/.stage.json.x1.tmp").write_text("{")
    work.make()
    assert work.calls == ["first", "second", "other"]
    assert not (folder / "work/old").exists()


def test_an_input_that_was_not_known_before_the_work_counts_from_then_on(work):
    work.inputs["first"] = {"weights": None}
    run = work.make()
    stage = run.stages[0]
    assert records.read(work.settings.folder("first")).inputs == {"weights": None}
    for value, calls in (("commit 1", []), (None, [])):
        work.inputs["first"] = {"weights": value}
        work.make()
        assert work.calls == calls
    record = records.read(work.settings.folder("first"))
    records.finish(work.settings.folder("first"), record, {"weights": "commit 1"}, 1.0)
    work.inputs["first"] = {"weights": "commit 2"}
    work.make()
    assert work.calls == ["first", "second"]
    assert stage.name == "first"


def enter(folder, answers):
    try:
        with only_here(folder):
            answers.put("")
    except WxrError as error:
        answers.put(str(error))


def answer_of_another_process(folder):
    processes = multiprocessing.get_context("fork")
    answers = processes.SimpleQueue()
    other = processes.Process(target=enter, args=(folder, answers))
    other.start()
    other.join()
    return answers.get()


def test_two_runs_in_one_folder_are_refused(folder):
    with only_here(folder / "work"):
        answer = answer_of_another_process(folder / "work")
    assert f"process {os.getpid()} on " in answer
    assert answer.endswith("is at work here; wait for it, or give another work folder")
    assert answer_of_another_process(folder / "work") == ""


def stages(**changes):
    write_files(Path.cwd(), **changes)
    return {stage.name: stage.needs for stage in Run(load_run("run.yml")).stages}


PROMPTS = "train:weather_prompt_opt={type: WeatherPromptLoss}"
TEXTS = "train:semantic_opt={type: SemanticLoss}"


def test_the_chain_of_a_whole_run(folder):
    whole = {"opt": "round.yml", "force_yml": [f"+{PROMPTS}", f"+{TEXTS}"]}
    needs = stages(train=whole, supervised={"opt": "supervised.yml"}, prompts={"synthetic": True})
    assert list(needs) == [
        *("supervised", "init", "describe", "rewrite", "prompts", "round_1"),
        *("panel_2", "describe_2", "rewrite_2", "prompts_2", "round_2", "report"),
    ]
    assert needs["init"] == needs["describe"] == ()
    assert set(needs["round_1"]) == {"supervised", "init", "rewrite", "prompts"}
    assert set(needs["round_2"]) == {"round_1", "panel_2", "rewrite_2", "prompts_2"}
    assert needs["describe_2"] == needs["prompts_2"] == ("panel_2",)


def test_what_no_loss_needs_and_what_is_switched_off_is_no_stage(folder):
    assert list(stages()) == ["init", "round_1", "panel_2", "round_2", "report"]
    needs = stages(init=None, between={"panel": False})
    assert list(needs) == ["round_1", "round_2", "report"]
    assert needs["round_2"] == ("round_1",)
    assert list(stages(init={"restorers": ["supervised"]}, supervised={"opt": "supervised.yml"}))[
        :2
    ] == [
        "supervised",
        "init",
    ]


def test_rounds_get_their_length_rater_start_and_labels(folder):
    rounds = [
        {"rater": "bright", "iterations": 4},
        {"rater": "brighter", "iterations": 6, "force_yml": ["train:ema_decay=0.7"]},
    ]
    write_files(folder, rounds=rounds)
    settings = load_run("run.yml")
    first, second = (
        settings.round_options(number, start, None) for number, start in ((1, None), (2, "round_1"))
    )
    assert first["train"]["total_iter"] == 4 and second["train"]["total_iter"] == 6
    assert first["train"]["rater"] == {"type": "RunBright"}
    assert "ema_warmup" not in first["train"] and second["train"]["ema_warmup"] is False
    assert (first["train"]["ema_decay"], second["train"]["ema_decay"]) == (0.5, 0.7)
    assert (first["manual_seed"], second["manual_seed"]) == (3, 4)
    assert first["path"] == {}
    assert second["path"]["pretrain_network_g"] == str(settings.network("round_1"))
    assert first["train"]["labels"].endswith("work/round_1/labels.lmdb")


def changed(**changes):
    """Names of the inputs of the first round that a change of the files touches."""
    write_files(Path.cwd())
    before = run_inputs("round_1")
    write_files(Path.cwd(), **changes)
    return records.changes(before, run_inputs("round_1"))


def run_inputs(name):
    run = Run(load_run("run.yml"))
    return next(stage for stage in run.stages if stage.name == name).inputs()


def test_only_what_can_change_the_network_is_an_input_of_a_round(folder):
    file = {"opt": "round.yml"}
    same = [
        "logger:print_freq=7",
        "datasets:train:num_worker_per_gpu=1",
        "+train:keep=2",
        "name=other",
    ]
    assert changed(train={**file, "force_yml": same}) == []
    assert changed(report={"rater": None}, panel=["brighter", "bright"]) == []
    assert changed(train={**file, "force_yml": ["train:optim_g:lr=0.5"]}) == [
        "train.optim_g.lr changed from 0.01 to 0.5"
    ]
    assert (
        changed(
            raters={
                "bright": {"type": "RunBright", "device": "cpu"},
                "brighter": {"type": "RunBrighter"},
            }
        )
        == []
    )
    (change,) = changed(
        raters={"bright": {"type": "RunBrighter"}, "brighter": {"type": "RunBrighter"}}
    )
    assert change == "train.rater.type changed from RunBright to RunBrighter"


def test_photos_count_by_content(folder):
    before = run_inputs("round_1")
    photo = folder / "photos/real/rain/0.png"
    os.utime(photo, (1, 1))
    assert records.changes(before, run_inputs("round_1")) == []
    write_image(photo, 255 - read_image(photo))
    changes = records.changes(before, run_inputs("round_1"))
    assert any(change.startswith("real rain photos changed from 2 images") for change in changes)


@pytest.mark.parametrize(("start", "needed"), [("supervised", True), ("train", False)])
def test_the_first_round_starts_from_supervised_training_or_next_to_it(folder, start, needed):
    write_files(folder, supervised={"opt": "supervised.yml"}, start=start)
    stages = {stage.name: stage for stage in Run(load_run("run.yml")).stages}
    assert "supervised" in stages
    assert ("supervised" in stages["round_1"].needs) == needed
    assert "round_1" in stages["round_2"].needs
