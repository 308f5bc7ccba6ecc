"""Updates of two processes (gloo): loss scale, accumulation and batches of two sizes."""

import subprocess
import sys

import pytest
import torch
from toy_runs import ENVIRONMENT, HERE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> list[dict]:
    """What each rank of update_ranks.py noted."""
    root = tmp_path_factory.mktemp("ranks")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command = [*launch, str(HERE / "update_ranks.py"), str(root)]
    done = subprocess.run(
        command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(root / f"seen_{rank}.pth", weights_only=True) for rank in (0, 1)]


def test_an_infinite_gradient_on_one_rank_lowers_the_scale_of_all(seen):
    for rank in seen:
        before, after = rank["scales_after_infinity_on_one_rank"]
        assert after == before / 2


def test_no_network_exchanges_gradients_before_the_last_batch_of_an_update(seen):
    for rank in seen:
        assert rank["synchronised_networks"] == [[False, False], [True, True]]


def test_batch_norm_learns_from_pairs_and_photos_of_different_sizes(seen):
    one, two = (rank["weights_after_two_sizes"] for rank in seen)
    assert one == two and one["sums"][0] != one["sums"][1]
    assert one["sizes"] == [12, 12], (
        "a second forward of DDP would overwrite the statistics of the first"
    )
