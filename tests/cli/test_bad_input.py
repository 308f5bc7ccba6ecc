"""Typical mistakes of users: one readable error that names both sides, before training starts."""

import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network

from wxr_plugin import test as test_command
from wxr_plugin import train
from wxr_plugin.conditioning.clip import build_clip
from wxr_plugin.conditioning.daclip import DaCLIP
from wxr_plugin.data.images.io import write_image

NAF = {"type": "NAFNet", "width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]}
UNET = {"type": "ConditionalUNet", "nf": 8, "ch_mult": [1, 2]}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return the working directory, with pairs to train and to validate."""
    rng = np.random.default_rng(0)
    for side in ("gt", "lq", "val_gt", "val_lq"):
        for number in range(2):
            write_image(
                tmp_path / side / f"{number}.png", rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stderr_of(project, capsys):
    """Return a function that trains or tests with changed options, and returns stderr."""

    def run(testing=False, **changes):
        (project / "mine.yml").write_text(yaml.safe_dump(options(testing) | changes))
        command = test_command if testing else train
        assert command.main(["-opt", "mine.yml"]) == 2
        stderr = capsys.readouterr().err
        assert "Traceback" not in stderr and not list(project.glob("experiments/mine/models/*"))
        return stderr

    return run


def options(testing: bool) -> dict:
    def pairs(name):
        return {
            "type": "PairedImageDataset",
            "io_backend": {"type": "disk"},
            "name": name or "train",
        }

    roots = lambda name: {f"dataroot_{side}": f"{name}{side}" for side in ("gt", "lq")}  # noqa: E731
    crops = {
        "gt_size": 16,
        "use_hflip": False,
        "use_rot": False,
        "num_worker_per_gpu": 0,
        "batch_size_per_gpu": 1,
    }
    held = pairs("held") | roots("val_")
    sets = {"test_1": held} if testing else {"train": pairs("") | roots("") | crops, "val": held}
    training = {
        "train": {
            "total_iter": 2,
            "optim_g": {"type": "Adam", "lr": 1e-3},
            "pixel_opt": {"type": "L1Loss"},
        },
        "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": False},
    }
    opt = {
        "name": "mine",
        "model_type": "WxrModel",
        "scale": 1,
        "num_gpu": 0,
        "manual_seed": 1,
        "datasets": sets,
    }
    val = {"save_img": False, "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}}}
    opt |= {"network_g": NAF, "path": {}, "val": val if testing else val | {"val_freq": 1}}
    return opt if testing else opt | training


def save(network: dict, path: str, **more) -> str:
    torch.save(
        {"params": build_network(dict(network)).state_dict(), "network_g": network, **more}, path
    )
    return path


def save_guide(path: str) -> str:
    torch.save({"state_dict": DaCLIP(*build_clip("tiny")).state_dict()}, path)
    return path


@pytest.mark.parametrize("testing", [False, True])
def test_a_checkpoint_with_other_shapes(stderr_of, testing):
    stderr = stderr_of(testing, path={"pretrain_network_g": save(NAF | {"width": 8}, "wide.pth")})
    assert (
        "wide.pth does not fit the network NAFNet: intro.weight is (8, 3, 3, 3) in the file and "
        "(4, 3, 3, 3)" in stderr
    )
    assert "'width': 8" in stderr.splitlines()[-1]


@pytest.mark.parametrize("testing", [False, True])
def test_a_guide_of_another_width(stderr_of, testing):
    network = NAF | {"context": ["degradation"], "context_dim": 512}
    stderr = stderr_of(testing, network_g=network, guide={"model": save_guide("guide.pth")})
    assert (
        "network_g takes embeddings of length 512, and guide.model guide.pth gives 64; set "
        "context_dim: 64" in stderr
    )
    assert "nothing was started" in stderr


def test_a_guide_that_is_a_restorer(stderr_of):
    network = NAF | {"context": ["degradation"], "context_dim": 64}
    stderr = stderr_of(network_g=network, guide={"model": save(NAF, "naf.pth")})
    assert "guide.model: naf.pth holds no DA-CLIP" in stderr and "nothing was started" in stderr


def test_a_table_with_malformed_captions(stderr_of, project):
    rows = [
        "filepath\ttitle",
        "lq/0.png\ta house: hazy",
        "lq/1.png\ta house",
        "lq/1.png\ta cat: foggy",
    ]
    (project / "train.csv").write_text("\n".join(rows))
    table = {
        "name": "rows",
        "type": "CaptionedDegradationDataset",
        "captions": "train.csv",
        "size": 32,
    }
    stderr = stderr_of(
        model_type="DaCLIPModel",
        network_g={"type": "DaCLIP", "clip": "tiny"},
        datasets={"train": table | {"num_worker_per_gpu": 0, "batch_size_per_gpu": 1}},
        val=None,
        train={"total_iter": 2, "optim_g": {"type": "Adam", "lr": 1e-3}},
    )
    assert "train.csv: 2 rows cannot be used; fix or remove them:" in stderr
    assert "train.csv:3: 'a house' is not '<caption>: <degradation>'" in stderr
    assert "train.csv:4: unknown degradation 'foggy' (known: motion-blurry, hazy," in stderr


def test_more_steps_than_the_schedule_has(stderr_of):
    val = options(False)["val"] | {"sampling": {"steps": 11}}
    stderr = stderr_of(model_type="IRSDEModel", network_g=UNET, sde={"steps": 10}, val=val)
    assert (
        "sampling takes 11 steps, but the network is trained on a schedule of 10 (sde.steps); take "
        "10" in stderr
    )
    weights = save(UNET, "unet.pth", sde={"steps": 10, "max_sigma": 50})
    equation = {"steps": 20, "max_sigma": 50}
    path = {"pretrain_network_g": weights}
    stderr = stderr_of(
        testing=True, model_type="IRSDEModel", network_g=UNET, sde=equation, path=path
    )
    assert "sde.steps: 20, but unet.pth was trained with 10; set sde.steps: 10" in stderr
