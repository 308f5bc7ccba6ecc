"""Every problem of an option file at once, before any work; the files that ship are right."""

from pathlib import Path

import pytest
from bench_files import checkpoint, photos, run, write

from wxr_plugin.benchmark.checking import check_benchmark, leave_out, load_benchmark
from wxr_plugin.benchmark.metrics import known_metrics
from wxr_plugin.cli import main as cli
from wxr_plugin.cli.schema_text import option_file
from wxr_plugin.errors import OptionError
from wxr_plugin.options.files import load

OPTIONS = Path(__file__).parents[2] / "options"
SHIPPED = [*sorted((OPTIONS / "benchmark").glob("*.yml")), OPTIONS / "tiny/benchmark.yml"]
NOT_HERE = ("no such file", "no such folder", "no such checkpoint")


def problems_of(file):
    return "\n".join(map(str, check_benchmark(load(file), file)))


def test_all_problems_at_once_and_nothing_is_started(tmp_path, capsys):
    methods = {
        "input": {"checkpoint": "tiny"},
        "a": {"checkpoint": "nowhere.pth"},
        "b": {"method": "restormer-derian"},
        "c": {},
        "d/e": {"checkpoint": "tiny"},
        "f": {"checkpoint": "tiny", "tile": 16},
        "g": {"checkpoint": "tiny", "sets": ["rian"]},
    }
    sets = {
        "rain": photos(tmp_path),
        "rtt": {"root": str(tmp_path / "lq")},
        "rtts": {"root": str(tmp_path / "lq")},
    }
    metrics = {
        "psnr": None,
        "musik": None,
        "lpips": {"weights": "nowhere.pth", "margin": 3},
        "x": {"type": "calculate_iqq"},
    }
    file = write(
        tmp_path, methods=methods, sets=sets, metrics=metrics, overlaps={"training": ["nowhere"]}
    )
    assert run(file) == 2
    problems = capsys.readouterr().err
    for line in (
        "methods.input: input is the photo itself; choose another name",
        "methods.a: nowhere.pth: no such checkpoint",
        "restormer-derain",
        "methods.c: does not say what restores; add method, checkpoint or folder",
        "methods.d/e: cannot be the name of a folder",
        "methods.f: overlap 32 has to be smaller than tile 16",
        "methods.g.sets[0]: no set 'rian' among sets; did you mean rain?",
        "sets.rtt: no known set 'rtt'; did you mean rtts?",
        "sets.rtts: 4 photos in",
        "metrics.musik: unknown metric, and without a type; did you mean musiq?",
        "metrics.lpips.weights: nowhere.pth does not exist",
        "metrics.lpips.margin: unknown key",
        "metrics.x.type: no metric 'calculate_iqq' is registered; did you mean calculate_iqa?",
        "overlaps.training[0]: nowhere: no such folder",
    ):
        assert line in problems, line
    assert "nothing was started" in problems
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["..", "../victim", "/victim", ""])
def test_the_name_of_a_benchmark_is_no_path(name, tmp_path, capsys):
    file = write(tmp_path, name=name, sets={"rain": photos(tmp_path)})
    assert run(file) == 2 and cli.main(["check", str(file)]) == 2
    assert (
        capsys.readouterr().err.count("write a plain name: it becomes the name of a file or folder")
        == 2
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"devise": "cpu"}, "devise: unknown key; did you mean device?"),
        ({"tile": 32}, "overlap 32 has to be smaller than tile 32"),
        ({"metrics": []}, "metrics: names none"),
        ({"methods": {"a": {"opt": "x.yml"}}}, "opt: names the network of a checkpoint"),
        (
            {"methods": {"a": {"folder": "x", "tile": 3}}},
            "tile: images of a folder are restored already",
        ),
        ({"methods": {"a": {"guide": "x"}}}, "nothing restores the photos"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_keys_that_do_not_fit(tmp_path, changes, message):
    assert message in problems_of(write(tmp_path, **changes))


def test_comparing_metrics_need_a_ground_truth(tmp_path):
    lq = {"rain": {"lq": photos(tmp_path)["lq"]}}
    assert "metrics.psnr: compares with a ground truth, and no set has any" in problems_of(
        write(tmp_path, sets=lq)
    )


def test_a_folder_without_the_photos_is_refused(tmp_path):
    file = write(tmp_path, methods={"theirs": {"folder": str(tmp_path / "gt")}})
    assert "no image of rain in it (looked for input0.png)" in problems_of(file)
    file = write(tmp_path, methods={"theirs": {"folder": {"snow": str(tmp_path / "lq")}}})
    assert "names no folder for the set 'rain'; add rain: FOLDER" in problems_of(file)


def test_a_checkpoint_that_does_not_name_its_network_needs_opt(tmp_path):
    import torch

    torch.save({"params": {"a": torch.zeros(1)}}, tmp_path / "bare.pth")
    file = write(tmp_path, methods={"bare": {"checkpoint": str(tmp_path / "bare.pth")}})
    assert "bare.pth does not say which network it is for; add opt:" in problems_of(file)


def test_left_out_is_what_is_not_here(tmp_path):
    net = checkpoint(tmp_path / "a.safetensors")
    methods = {
        "input": None,
        "here": {"checkpoint": net, "sets": ["rain", "rtts"]},
        "gone": {"checkpoint": "nowhere.pth"},
        "published": {"method": "restormer-derain"},
        "only": {"checkpoint": net, "sets": ["rtts"]},
    }
    opt = {"methods": methods, "sets": {"rain": photos(tmp_path), "rtts": {"root": "nowhere"}}}
    lines = leave_out(opt)
    assert list(opt["methods"]) == ["input", "here"] and opt["methods"]["here"]["sets"] == ["rain"]
    assert list(opt["sets"]) == ["rain"] and len(lines) == 4
    assert "sets.rtts: left out, nowhere does not exist" in lines


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_files_lack_nothing_but_the_downloads(file):
    problems = check_benchmark(load(file), file)
    assert all(any(text in problem.fault for text in NOT_HERE) for problem in problems), problems
    assert bool(problems) == (file.parent.name == "benchmark")


def test_every_known_metric_is_registered_and_named_once(tmp_path):
    file = write(tmp_path, metrics=list(known_metrics()), methods={"input": None})
    plan = load_benchmark(file)
    assert plan.metrics["fid"].of == "set" and plan.metrics["psnr"].of == "image"
    comparing = {name for name, metric in plan.metrics.items() if metric.needs_gt}
    assert comparing == {"psnr", "psnr_y", "ssim", "ssim_y", "lpips", "lpips-vgg", "dists", "fid"}
    assert len({metric.title for metric in plan.metrics.values()}) == len(plan.metrics)
    lower = {name for name, metric in plan.metrics.items() if metric.better == "lower"}
    assert lower == {"lpips", "lpips-vgg", "dists", "fid", "niqe", "brisque", "piqe"}


def test_wxr_check_and_wxr_train_know_the_file(tmp_path, capsys):
    file = write(tmp_path)
    assert cli.main(["check", str(file)]) == 0 and "no problems" in capsys.readouterr().out
    with pytest.raises(OptionError):
        load_benchmark(write(tmp_path, name=None))
    assert cli.main(["train", "-opt", str(write(tmp_path))]) == 2
    assert "start it with `wxr benchmark -opt" in capsys.readouterr().err


def test_editors_know_the_file():
    properties = option_file()["definitions"]["benchmark"]["properties"]
    assert properties["crop_border"]["description"] == "Pixels at each edge that no metric counts."
    [block] = [
        variant
        for variant in properties["methods"]["additionalProperties"]["anyOf"]
        if variant["type"] == "object"
    ]
    assert block["properties"]["precision"]["description"] == "Replaces `precision` of the file."
    assert (
        properties["sets"]["additionalProperties"]["properties"]["filename_tmpl"]["default"] == "{}"
    )
