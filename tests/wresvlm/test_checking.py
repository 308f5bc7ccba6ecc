"""Problems of a run's file are reported before anything starts, each in one line with its fix."""

from pathlib import Path

import pytest
import yaml
from run_files import REAL, REPOSITORY, write_files

from wxr_plugin.cli import main as cli
from wxr_plugin.options import files as option_files
from wxr_plugin.schema import convert
from wxr_plugin.wresvlm.checking import check_run
from wxr_plugin.wresvlm.options import RunOptions
from wxr_plugin.wresvlm.settings import Settings

PROMPTS = {"opt": "round.yml", "force_yml": ["+train:weather_prompt_opt={type: WeatherPromptLoss}"]}


def problems(**changes):
    run = write_files(Path.cwd(), **changes)
    lines = [str(problem) for problem in check_run(run, "run.yml")]
    assert all("\n" not in line for line in lines)
    return lines


def test_a_sound_file_has_no_problems(folder, capsys):
    assert problems() == []
    assert cli.main(["wresvlm", "check", "-opt", "run.yml"]) == 0
    assert cli.main(["check", "run.yml"]) == 0
    assert capsys.readouterr().out == "run.yml: no problems\n" * 2
    assert not (folder / "work").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"real": {"rain": "nowhere"}}}, ["data.real.rain: nowhere does not exist"]),
        (
            {"data": {"real": {**REAL, "snow": "empty"}}},
            ["data.real: empty: no images in it", "take this weather out"],
        ),
        ({"panel": ["bright"]}, ["panel: a panel of 1; name two different raters"]),
        ({"panel": ["bright", "bright", "brighter"]}, ["panel: names a rater twice"]),
        (
            {"panel": ["bright", "brightr"]},
            ["panel[1]: no rater 'brightr' among raters; did you mean bright"],
        ),
        (
            {"init": {"restorers": []}},
            ["init: restorers: the panel has nothing to choose from; name one"],
        ),
        ({"init": {"restorers": ["gone.pth"]}}, ["init.restorers[0]: gone.pth: no such file"]),
        (
            {"init": {"restorers": ["supervised"]}},
            ["there is no supervised stage; name it under supervised"],
        ),
        ({"rounds": [{"iterations": 4}]}, ["rounds[0].rater: missing"]),
        ({"rounds": []}, ["rounds: a list ([]) has the wrong type or range"]),
        (
            {"raters": {"bright": {"type": "RunBrigth"}}},
            ["raters.bright.type: no rater 'RunBrigth'", "RunBright?"],
        ),
        ({"report": {"rater": "judge"}}, ["report.rater: no rater 'judge'"]),
        ({"report": {"raters": ["judge"]}}, ["report.raters[0]: no rater 'judge'"]),
        (
            {"report": {"truth": "photos/gt"}},
            ["report.truth: no real photo is called 0", "name each like its photo"],
        ),
        ({"report": {"truth": "empty"}}, ["report.truth: empty: no images", "or take this out"]),
        ({"start": "round_1"}, ["start:"]),
        (
            {"report": {"metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}}}},
            ["compares with a ground"],
        ),
        (
            {"train": {"opt": "supervised.yml"}},
            ["train.opt: supervised.yml trains a WxrModel; name one"],
        ),
        (
            {"train": {"opt": "run.yml"}},
            ["train.opt: run.yml is the file of a whole run; name one of a single"],
        ),
        (
            {"supervised": {"opt": "round.yml"}},
            ["supervised.opt: round.yml is not supervised only"],
        ),
        (
            {"train": PROMPTS, "data": {"real": {"rain": REAL["rain"]}}},
            ["no real photos of haze, snow to learn"],
        ),
        (
            {"train": {"opt": "round.yml", "force_yml": ["train:totl=3"]}},
            ["the option file has no train:totl"],
        ),
        (
            {"train": {"opt": "round.yml", "force_yml": ["+train:gate=teacher"]}},
            ["init: chooses pseudo-labels, which"],
        ),
        (
            {"train": {"opt": "round.yml", "force_yml": ["+train:speed=3"]}},
            ["round.yml", "train.speed: unknown key"],
        ),
        (
            {"name": "../victim"},
            ["name: the name '../victim' holds a path separator; write a plain name"],
        ),
        (
            {"train": {"opt": "round.yml", "force_yml": ["num_gpu=2"]}},
            [
                "launch.nproc_per_node: 1 process trains on 1 GPU",
                "num_gpu: 2; set it to 2, or num_gpu to auto",
            ],
        ),
        ({"roundz": []}, ["roundz: unknown key; did you mean rounds?"]),
    ],
)
def test_each_problem_is_a_line_with_its_fix(folder, changes, words):
    (folder / "empty").mkdir()
    lines = "\n".join(problems(**changes))
    assert all(word in lines for word in words), lines


def test_all_problems_come_at_once(folder, capsys):
    write_files(
        folder,
        panel=["bright"],
        rounds=[{"rater": "gone", "iterations": 1}],
        init={"restorers": ["gone.pth"]},
    )
    assert cli.main(["wresvlm", "run", "-opt", "run.yml"]) == 2
    error = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in error[:-1]] == [
        "init.restorers[0]",
        "panel",
        "rounds[0].rater",
    ]
    assert error[-1] == "wxr wresvlm: run.yml: 3 problems; nothing was started"
    assert not (folder / "work").exists()


def test_files_of_the_wrong_kind_name_the_right_command(folder, capsys):
    assert cli.main(["wresvlm", "run", "-opt", "round.yml"]) == 2
    assert "not of a whole run; start it with `wxr train -opt round.yml`" in capsys.readouterr().err
    assert cli.main(["train", "-opt", "run.yml"]) == 2
    assert (
        "not of one training; start it with `wxr wresvlm run -opt run.yml`"
        in capsys.readouterr().err
    )


def test_one_folder_with_sub_folders_is_sorted_by_them(folder):
    assert problems(train=PROMPTS, data={"real": "photos/real"}) == []
    (folder / "photos/real/rain").rename(folder / "photos/moved")
    assert "no real photos of rain" in problems(train=PROMPTS, data={"real": "photos/real"})[0]


FILES = [REPOSITORY / "options/wresvlm/msbdn_160k.yml", REPOSITORY / "options/tiny/wresvlm_run.yml"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_option_files_of_this_repository_pass_apart_from_data(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options").symlink_to(REPOSITORY / "options")
    opt = option_files.load(file)
    parts = {"gt": "clear", "lq": "clear"} if opt["data"].get("lq") else {"gt": "clear"}
    for name in ("clear", *(f"real/{weather}" for weather in REAL)):
        (tmp_path / name).mkdir(parents=True)
        for number in range(16):  # enough for a batch
            (tmp_path / name / f"{number}.png").write_bytes(PNG)
    opt["data"] = {**parts, "real": "real"}
    lines = [str(problem) for problem in check_run(opt, file)]
    assert [line for line in lines if "does not exist" not in line] == []
    assert not any(": data." in line for line in lines)


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


def test_the_paper_s_recipe_is_160_000_iterations_with_one_model_a_round():
    opt = yaml.safe_load(FILES[0].read_text())
    assert sum(settings["iterations"] for settings in opt["rounds"]) == 160_000
    assert [settings["rater"] for settings in opt["rounds"]] == opt["panel"]
    assert opt["report"]["rater"] not in opt["panel"]


@pytest.mark.parametrize(
    ("num_gpu", "launch", "device"),
    [("auto", {}, None), (0, {}, "cpu"), (0, {"device": "cuda:1"}, "cuda:1")],
)
def test_prompts_are_learnt_where_the_training_is(folder, num_gpu, launch, device):
    train = {"opt": "round.yml", "force_yml": [f"num_gpu={num_gpu}"]}
    assert (
        Settings(convert(write_files(folder, train=train, launch=launch), RunOptions)).device
        == device
    )
