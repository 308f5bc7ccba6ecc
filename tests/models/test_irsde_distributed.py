"""Two processes (gloo) train and validate an IRSDEModel as one does, FID included."""

import csv
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_runs import ENVIRONMENT, HERE, make_pairs
from toy_training import assert_equal

from wxr_plugin.data.images.io import read_image
from wxr_plugin.metrics import fid_features

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> Path:
    """A folder in which two processes have trained and validated, on seven pairs."""
    root = tmp_path_factory.mktemp("ranks")
    pairs = {"name": "held", "scale": 1, **make_pairs(root / "held", 7, 1)}
    torch.save(pairs, root / "pairs.pth")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command = [*launch, str(HERE / "irsde_ranks.py"), str(root)]
    done = subprocess.run(
        command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return root


def states(root: Path) -> list[dict]:
    return [torch.load(root / f"rank_{rank}.pth", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone(ranks) -> Path:
    """The folder in which this process alone has validated the same weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fid_features, "load_inception", fid_features.load_inception)  # is put back
        fid_features.CACHE.clear()
        importlib.reload(importlib.import_module("fid_toys"))
        worker = importlib.import_module("irsde_ranks")
        model = worker.make(ranks / "alone", torch.load(ranks / "pairs.pth", weights_only=True))
        model.net_g_ema.load_state_dict(states(ranks)[0]["ema"])
        worker.validate(model)
        fid_features.CACHE.clear()
    return ranks / "alone"


def test_after_a_step_all_ranks_have_the_same_weights(ranks):
    zero, one = states(ranks)
    assert not torch.equal(zero["lq"], one["lq"]), "of different images"
    for key in ("net_g", "ema"):
        assert_equal(zero[key], one[key])
    assert not torch.equal(zero["net_g"]["final_conv.weight"], zero["ema"]["final_conv.weight"]), (
        "they have learnt"
    )


def test_samples_do_not_depend_on_the_number_of_ranks(ranks, alone):
    files = [sorted((root / "visualization/held").iterdir()) for root in (ranks / "ranks", alone)]
    assert [file.name for file in files[0]] == [file.name for file in files[1]] and len(
        files[0]
    ) == 7
    images = [[read_image(file) for file in group] for group in files]
    assert all(np.array_equal(one, other) for one, other in zip(*images))
    assert not np.array_equal(images[0][0], read_image(ranks / "held/lq/held0.png"))


def test_fid_over_ranks_is_that_of_one_process(ranks, alone):
    tables = [
        (root / "validation/held_groups.csv").read_text() for root in (ranks / "ranks", alone)
    ]
    (row,) = csv.DictReader(tables[0].splitlines())
    assert row["images"] == "7" and float(row["fid"]) > 0
    assert tables[0] == tables[1]
