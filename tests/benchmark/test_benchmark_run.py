"""The command from photos to tables: what is made, what is kept, what is made again."""

import errno
import json

import numpy as np
import pytest
import torch
import yaml
from basicsr.utils.registry import METRIC_REGISTRY
from bench_files import PRENET, TIMED, cell, checkpoint, photos, rows, run, write
from filelock import FileLock

from wxr_plugin.archs.nafnet_arch import NAFNet
from wxr_plugin.benchmark import restoring
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.metrics.set_share import SetShare


class MeanShare(SetShare):
    def __init__(self, value):
        self.value = value

    @classmethod
    def over(cls, shares):
        return float(np.mean([share.value for share in shares]))


def calculate_toy_set(img, img2, crop_border=0) -> MeanShare:
    return MeanShare(float(img.mean() - img2.mean()))


def calculate_toy_picky(img, crop_border=0) -> float:
    if img.shape[0] == 50:
        raise ValueError("no fifty")
    return float("nan") if img.shape[0] == 40 else float(img.mean())


def calculate_toy_missing(img, crop_border=0) -> float:
    raise WxrError("weights of the toy are missing; put them there")


for function in (calculate_toy_set, calculate_toy_picky, calculate_toy_missing):
    METRIC_REGISTRY.register(function)


@pytest.fixture
def made(tmp_path):
    file = write(tmp_path)
    assert run(file) == 0
    return file


def stamps(folder):
    return {file.name: file.stat().st_mtime_ns for file in (folder / "out/images").rglob("*.png")}


def change(file, **changes):
    opt = yaml.safe_load(file.read_text()) | changes
    file.write_text(yaml.safe_dump(opt, sort_keys=False))


def test_a_row_for_each_photo_with_its_protocol(made, tmp_path, capsys):
    from skimage.metrics import peak_signal_noise_ratio

    table = rows(tmp_path)
    assert [(row["method"], row["image"]) for row in table] == [
        (method, f"input{n}") for method in ("input", "net") for n in range(4)
    ]
    row, restorer = table[5], Restorer.from_checkpoint(tmp_path / "net.safetensors", device="cpu")
    expected = restorer.restore(read_image(tmp_path / "lq/input1.png"))
    assert np.array_equal(read_image(tmp_path / "out" / row["restored"]), expected)
    assert (row["width"], row["height"]) == ("57", "48")
    psnr = peak_signal_noise_ratio(read_image(row["gt"]), expected)
    assert float(row["psnr"]) == pytest.approx(psnr, abs=1e-9)
    assert (row["precision"], row["tile"], row["overlap"], row["crop"], row["colour"]) == (
        "fp32",
        "0",
        "32",
        "0",
        "RGB",
    )
    assert (
        float(row["seconds"]) > 0 and float(row["peak_mib"]) >= 0 and not row["error"]
    )  # memory: test_cost.py
    assert table[1]["restored"] == table[1]["lq"] and not table[1]["seconds"]

    facts = json.loads((tmp_path / "out/benchmark.json").read_text())
    net = facts["methods"]["net"]
    assert row["checkpoint_sha256"] == net["sha256"] and net["network"] == "NAFNet"
    assert (
        net["parameters"] == sum(p.numel() for p in restorer.net.parameters())
        and net["macs_per_megapixel"] > 1e6
    )
    assert facts["versions_by_digest"][row["versions"]] == facts["versions"]
    assert facts["sets"]["rain"]["count"] == 4 and facts["metrics"]["psnr"]["title"] == "PSNR (RGB)"


def test_again_makes_nothing(made, tmp_path):
    before, images = rows(tmp_path), stamps(tmp_path)
    journal = (tmp_path / "out/cells/net/rain.jsonl").read_bytes()
    assert run(made) == 0
    assert rows(tmp_path) == before and stamps(tmp_path) == images
    assert (tmp_path / "out/cells/net/rain.jsonl").read_bytes() == journal


def test_a_new_metric_scores_the_kept_images(made, tmp_path):
    before, images = rows(tmp_path), stamps(tmp_path)
    change(made, metrics=["psnr", "ssim_y", "psnr_y"])
    assert run(made) == 0
    assert stamps(tmp_path) == images
    assert rows(tmp_path, "psnr_y") == before
    assert all(float(row["psnr_y"]) > float(row["psnr"]) for row in rows(tmp_path))


def test_another_crop_measures_again_and_restores_nothing(made, tmp_path):
    before, images = cell(tmp_path, "net", "input0", "psnr"), stamps(tmp_path)
    assert run(made, "--force_yml", "+crop_border=8") == 0
    assert stamps(tmp_path) == images and cell(tmp_path, "net", "input0", "psnr") != before
    assert cell(tmp_path, "net", "input0", "crop") == "8"


@pytest.mark.parametrize("changes, reason", [(["+tile=512"], "the tile changed from 0 to 512")])
def test_another_protocol_restores_again(made, tmp_path, capsys, changes, reason):
    images = stamps(tmp_path)
    assert run(made, "--force_yml", *changes) == 0
    assert f"net, rain: 4 photos restored again, because {reason}" in capsys.readouterr().out
    assert not images.items() & stamps(tmp_path).items()
    assert cell(tmp_path, "net", "input0", "tile") == "512"


def test_another_checkpoint_restores_again(made, tmp_path, capsys):
    before = cell(tmp_path, "net", "input0", "psnr")
    checkpoint(tmp_path / "net.safetensors", seed=1)
    assert run(made) == 0
    assert "because the checkpoint changed" in capsys.readouterr().out
    assert cell(tmp_path, "net", "input0", "psnr") != before


def test_a_photo_that_changed_is_restored_again_and_a_ground_truth_only_measured(
    made, tmp_path, capsys
):
    images, before = (
        stamps(tmp_path),
        {row["image"]: row["psnr"] for row in rows(tmp_path) if row["method"] == "net"},
    )
    write_image(tmp_path / "lq/input0.png", 255 - read_image(tmp_path / "lq/input0.png"))
    write_image(tmp_path / "gt/norain1.png", 255 - read_image(tmp_path / "gt/norain1.png"))
    assert run(made) == 0
    assert "1 photos restored again, because the photo changed" in capsys.readouterr().out
    assert {name for name, time in stamps(tmp_path).items() if images[name] != time} == {
        "input0.png"
    }
    after = {row["image"]: row["psnr"] for row in rows(tmp_path) if row["method"] == "net"}
    assert {name for name in after if after[name] != before[name]} == {"input0", "input1"}


def test_an_image_that_is_gone_is_restored_again(made, tmp_path):
    before = rows(tmp_path, *TIMED)
    (tmp_path / "out/images/net/rain/input2.png").unlink()
    assert run(made, "--list") == 0
    assert run(made) == 0 and rows(tmp_path, *TIMED) == before


def test_list_tells_and_makes_nothing(tmp_path, capsys):
    file = write(tmp_path)
    assert run(file, "--list") == 0
    line = capsys.readouterr().out.splitlines()[2]
    assert line.split() == ["net", "rain", "0/4", "4:", "not", "restored", "before"]
    assert not (tmp_path / "out").exists()


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path, capsys):
    file = write(
        tmp_path,
        metrics={
            "psnr": None,
            "picky": {"type": "calculate_toy_picky"},
            "none": {"type": "calculate_toy_missing"},
        },
    )
    (tmp_path / "lq/input1.png").write_bytes(b"no image")
    for side in (50, 40):
        for place in ("lq/input", "gt/norain"):
            write_image(
                tmp_path / f"{place}{'2' if side == 50 else '3'}.png",
                np.full((side, 30, 3), side, np.uint8),
            )
    assert run(file) == 1
    out = capsys.readouterr().out
    assert "failed: net, rain, input1: " in out and "no known image format" in out
    assert "failed: net, rain, input2: picky: ValueError: no fifty" in out
    assert "failed: net, rain, input3: picky: gives no score for this image" in out
    assert "failed: none: weights of the toy are missing" in out
    assert cell(tmp_path, "net", "input0", "psnr") and cell(tmp_path, "net", "input0", "picky")
    assert cell(tmp_path, "net", "input2", "error") == "picky: ValueError: no fifty"
    assert cell(tmp_path, "net", "input1", "error") and not cell(tmp_path, "net", "input1", "psnr")

    photos(tmp_path)  # repairs the broken photo
    change(file, metrics=["psnr"])
    assert run(file) == 0 and all(row["psnr"] and not row["error"] for row in rows(tmp_path))


def test_a_method_that_cannot_be_loaded_leaves_the_others(tmp_path, capsys):
    file = write(tmp_path)
    checkpoint(tmp_path / "net.safetensors")
    wrong = {"checkpoint": str(tmp_path / "net.safetensors"), "opt": str(tmp_path / "opt.yml")}
    (tmp_path / "opt.yml").write_text(yaml.safe_dump({"network_g": PRENET}))
    change(file, methods={"wrong": wrong, "net": {"checkpoint": str(tmp_path / "net.safetensors")}})
    assert run(file) == 1
    assert "failed: wrong: " in capsys.readouterr().out
    assert cell(tmp_path, "wrong", "input0", "error") == "the method cannot be run"
    assert cell(tmp_path, "net", "input0", "psnr")


def test_images_restored_elsewhere(tmp_path, capsys):
    file = write(tmp_path)
    for number in range(3):
        write_image(
            tmp_path / f"theirs/input{number}.jpg", read_image(tmp_path / f"gt/norain{number}.png")
        )
    change(file, methods={"theirs": {"folder": str(tmp_path / "theirs")}}, metrics=["psnr"])
    assert run(file) == 1
    assert "theirs, rain, input3: no image of that name" in capsys.readouterr().out
    assert float(cell(tmp_path, "theirs", "input0", "psnr")) > 25
    write_image(tmp_path / "theirs/input3.png", read_image(tmp_path / "gt/norain3.png"))
    assert run(file) == 0 and cell(tmp_path, "theirs", "input3", "psnr") == "inf"
    journal = (tmp_path / "out/cells/theirs/rain.jsonl").read_bytes()
    assert run(file) == 0 and (tmp_path / "out/cells/theirs/rain.jsonl").read_bytes() == journal


def test_figures_of_a_set(tmp_path):
    file = write(tmp_path, metrics={"toy": {"type": "calculate_toy_set"}})
    assert run(file) == 0
    lines = (tmp_path / "out/sets.csv").read_text().splitlines()
    means = [
        read_image(tmp_path / f"lq/input{n}.png").mean()
        - read_image(tmp_path / f"gt/norain{n}.png").mean()
        for n in range(4)
    ]
    assert lines[0] == "method,set,metric,value,count" and len(lines) == 3
    assert float(lines[1].split(",")[3]) == pytest.approx(np.mean(means)) and lines[1].endswith(
        ",4"
    )
    assert "toy" not in rows(tmp_path)[0]
    write_image(tmp_path / "gt/norain0.png", 255 - read_image(tmp_path / "gt/norain0.png"))
    assert run(file) == 0
    assert (tmp_path / "out/sets.csv").read_text().splitlines()[1] != lines[1]


def test_sets_of_a_method(tmp_path):
    file = write(tmp_path)
    block = yaml.safe_load(file.read_text())["sets"]["rain"]
    net = {"checkpoint": str(tmp_path / "net.safetensors"), "sets": ["b"]}
    change(
        file,
        methods={"input": None, "net": net},
        sets={"a": block | {"limit": 2}, "b": block | {"limit": 1}},
    )
    assert run(file) == 0
    assert [(row["method"], row["set"], row["image"]) for row in rows(tmp_path)] == [
        ("input", "a", "input0"),
        ("input", "a", "input2"),
        ("input", "b", "input0"),
        ("net", "b", "input0"),
    ]


def test_two_at_once_are_refused(tmp_path, capsys):
    file = write(tmp_path)
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out/.lock"):
        assert run(file) == 2
    assert "another `wxr benchmark` works in it" in capsys.readouterr().err


def test_the_table_and_the_notes(made, tmp_path, capsys):
    run(made, "--force_yml", "sets:rain:limit=2") if "limit" in made.read_text() else run(
        made, "--force_yml", "+sets:rain:limit=2"
    )
    out = capsys.readouterr().out
    assert "PSNR (RGB) ↑" in out and "s/MP" in out and "rain, 2 photos" in out
    assert "note: rain: 2 of 4 photos, spread evenly" in out


def test_tiles_that_the_protocol_does_not_state_are_an_error(tmp_path, monkeypatch):
    forward = NAFNet.forward

    def hungry(net, lq, context=None):
        if lq.shape[-1] > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(net, lq, context)

    monkeypatch.setattr(NAFNet, "forward", hungry)
    monkeypatch.setattr("wxr_plugin.inference.restorer.SMALLEST_TILE", 8)
    assert run(write(tmp_path)) == 1
    errors = [row["error"] for row in rows(tmp_path) if row["method"] == "net"]
    assert len(errors) == 4 and all(
        "memory ran out; tiles of 28 pixels fit" in error for error in errors
    )


def test_the_terminal_marks_what_is_worse_than_the_input(tmp_path, capsys):
    file = write(tmp_path, metrics=["psnr"])
    for number in range(4):
        write_image(
            tmp_path / f"theirs/input{number}.png",
            255 - read_image(tmp_path / f"gt/norain{number}.png"),
        )
    change(file, methods={"input": None, "theirs": {"folder": str(tmp_path / "theirs")}})
    assert run(file) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if "theirs" in line)
    assert "▼" in line and "▼ is worse than the input" in out
    assert "▼" not in next(line for line in out.splitlines() if "Input" in line)


def test_a_photo_with_the_longest_name_is_restored(tmp_path, capsys):
    file = write(tmp_path)
    for place, name in (("lq", "input"), ("gt", "norain")):
        (tmp_path / f"{place}/{name}1.png").rename(tmp_path / f"{place}/{name}{'x' * 238}.png")
    assert run(file) == 0
    assert len(rows(tmp_path)) == 8 and not any(row["error"] for row in rows(tmp_path))


def test_a_name_that_is_too_long_for_its_result_fails_alone(tmp_path, monkeypatch):
    def too_long(file, data):
        raise OSError(errno.ENAMETOOLONG, "File name too long", str(file))

    monkeypatch.setattr(restoring, "write_bytes", too_long)
    with pytest.raises(WxrError, match=r"too long for this disk: x\.png") as caught:
        restoring._write(tmp_path / "x.png", np.zeros((4, 4, 3), np.uint8))
    assert not isinstance(caught.value, restoring.UnwritableError)
