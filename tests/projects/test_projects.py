"""Three small projects in the style of HAT, Real-ESRGAN and NAFNet train, validate and resume."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

PROJECTS = Path(__file__).parent
WXR = ("-m", "wxr_plugin.cli.main", "train")


def copy_project(name: str, scale: int, root: Path) -> Path:
    """Copy a project to `root`, with six training pairs and two for validation."""
    project = root / name
    shutil.copytree(PROJECTS / name, project, ignore=shutil.ignore_patterns("__pycache__"))
    rng = np.random.default_rng(0)
    for phase, count, size in (("train", 6, (64, 64)), ("val", 2, (56, 40))):
        for kind in ("gt", "lq"):
            (project / "data" / phase / kind).mkdir(parents=True)
        for index in range(count):
            small = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
            gt = cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
            lq = cv2.resize(gt, (size[1] // scale, size[0] // scale), interpolation=cv2.INTER_AREA)
            for kind, image in (("gt", gt), ("lq", lq)):
                cv2.imwrite(str(project / "data" / phase / kind / f"{index}.png"), image)
    return project


def run(project: Path, *words: str) -> str:
    """Run Python with `words` in the project's root, which is on its path; return the output."""
    path = os.pathsep.join([str(project), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def go_on(project: Path, *start: str) -> str:
    """Resume a training of four iterations, and train two more."""
    return run(
        project, *start, "-opt", "options.yml", "--auto_resume", "--force_yml", "train:total_iter=6"
    )


def check_run(
    project: Path, first: str, second: str, losses: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    """Check both parts of a training; return its last weights."""
    for text, iterations in ((first, (1, 2, 3, 4)), (second, (5, 6))):
        lines = re.findall(r"epoch:\s+\d+, iter:\s+(\d+), lr", text)
        assert [int(number) for number in lines] == list(iterations), text[-3000:]
        for loss in losses:
            values = [float(value) for value in re.findall(rf"\b{loss}: (\S+)", text)]
            assert len(values) == len(iterations) and np.isfinite(values).all(), loss
        assert re.search(r"# psnr: \d+\.\d+", text), "validated"
    assert "Resuming training from epoch: 1, iter: 4" in second
    experiment = project / "experiments" / project.name
    assert (experiment / "training_states" / "6.state").is_file()
    return torch.load(experiment / "models" / "net_g_6.pth", weights_only=True)["params"]


@pytest.mark.slow
def test_hats_style_by_its_own_start_and_by_ours(tmp_path):
    project = copy_project("minihat", 2, tmp_path)
    first = run(project, "minihat/train.py", "-opt", "options.yml")
    weights = check_run(project, first, go_on(project, *WXR), ("l_pix",))
    assert "Model [MiniHATModel] is created" in first and "attention.in_proj_weight" in weights
    assert "num_gpu is 1, but CUDA is not available" in first or torch.cuda.is_available()


@pytest.mark.slow
def test_real_esrgans_style_with_degradations_and_a_gan(tmp_path):
    project = copy_project("miniesrgan", 2, tmp_path)
    own = ("miniesrgan/train.py",)
    first, second = run(project, *own, "-opt", "options.yml"), go_on(project, *own)
    weights = check_run(project, first, second, ("l_g_pix", "l_g_gan", "l_d_real", "l_d_fake"))
    assert next(iter(weights)) == "body.0.weight" and len(weights) == 5, (
        "the project's SRVGGNetCompact, not BasicSR's"
    )
    assert (project / "experiments/miniesrgan/models/net_d_6.pth").is_file()


@pytest.mark.slow
def test_nafnets_style_moved_out_of_its_copy_of_basicsr(tmp_path):
    project = copy_project("mininaf", 1, tmp_path)
    first, second = run(project, *WXR, "-opt", "options.yml"), go_on(project, *WXR)
    weights = check_run(project, first, second, ("l_pix",))
    assert weights.keys() >= {"intro.weight", "norm.weight", "ending.bias"}, (
        "the project's NAFNet, not ours"
    )
    assert f"{project / 'basicsr'} is not used: basicsr is the installed 1.4.2" in first
    for name in ("NAFNet", "PSNRLoss"):
        assert re.search(rf"{name} now means the \w+ of mininaf\.\w+; ours is {name}_wxr", first)


def test_the_option_file_of_a_copy_is_refused_with_every_key_that_has_to_change(tmp_path):
    from wxr_plugin.options import files as option_files

    project = copy_project("mininaf", 1, tmp_path)
    text = (project / "before.yml").read_text().replace("data/", f"{project}/data/")
    (project / "before.yml").write_text(text)
    problem_keys = {
        problem.key
        for problem in option_files.check(
            option_files.load(project / "before.yml"), project / "before.yml"
        )
    }
    assert problem_keys == {
        "model_type",
        "datasets.train.use_flip",
        "datasets.train.use_hflip",
        "train.scheduler.type",
        "train.pixel_opt.toY",  # of the project's PSNRLoss, which is not imported yet
    }
