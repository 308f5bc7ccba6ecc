"""InfoNCE by hand, its gradients, and gathering over two processes."""

import math
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from wxr_plugin.losses.contrastive_loss import DaClipLoss, gather_rows, info_nce

NAMES = ("image_features", "text_features", "image_degra_features", "text_degra_features")


def unit(*shape, seed=0, dtype=torch.float32):
    return F.normalize(
        torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=-1
    )


def features(count=4, dim=8):
    features = {name: unit(count, dim, seed=i) for i, name in enumerate(NAMES)}
    return {**features, "logit_scale": torch.tensor(5.0)}


def test_two_pairs_by_hand():
    """Images e1, e2 and texts e1, e1 at scale 2: rows [2, 2], [0, 0] of logits, columns [2, 0]."""
    image, text = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    to_text = math.log(2)
    to_image = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    assert info_nce(image, text, 2.0).item() == pytest.approx((to_text + to_image) / 2)


def test_perfect_pairs_at_a_high_scale_cost_nothing_and_one_pair_alone_nothing_at_all():
    assert info_nce(torch.eye(4), torch.eye(4), 100.0).item() < 1e-6
    assert info_nce(unit(1, 8), unit(1, 8, seed=1), 100.0).item() == 0


def test_equal_embeddings_cost_the_logarithm_of_their_number():
    assert info_nce(torch.ones(8, 1), torch.ones(8, 1), 14.0).item() == pytest.approx(math.log(8))


def test_gradients():
    image, text = (unit(3, 4, seed=s, dtype=torch.float64).requires_grad_() for s in (0, 1))
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(info_nce, (image, text, scale))


def test_the_loss_weighs_both_terms():
    given = features()
    content, degradation = DaClipLoss(content_weight=2.0, degradation_weight=0.5, loss_weight=3.0)(
        given
    )
    assert content.item() == pytest.approx(
        6 * info_nce(given[NAMES[0]], given[NAMES[1]], 5.0).item()
    )
    assert degradation.item() == pytest.approx(
        1.5 * info_nce(given[NAMES[2]], given[NAMES[3]], 5.0).item()
    )


def test_one_process_gathers_nothing():
    rows = torch.rand(2, 3)
    assert gather_rows(rows) is rows


@pytest.mark.slow
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path):
    """A linear encoder under DistributedDataParallel, each rank with half of the pairs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    command = [
        sys.executable,
        "-W",
        "error:torch.distributed.nn.functional.all_gather is deprecated",
        __file__,
    ]
    runs = [subprocess.Popen([*command, str(rank), port, str(tmp_path)]) for rank in (0, 1)]
    assert [run.wait(timeout=180) for run in runs] == [0, 0]
    alone = torch.nn.Linear(6, 4, bias=False)
    alone.load_state_dict(torch.load(tmp_path / "start.pth"))
    loss = step_loss(alone, slice(None))
    loss.backward()
    for rank in (0, 1):
        saved = torch.load(tmp_path / f"{rank}.pth")
        torch.testing.assert_close(saved["loss"], loss.detach())
        torch.testing.assert_close(saved["gradient"], alone.weight.grad)
    assert alone.weight.grad.abs().max() > 1e-3


def step_loss(encoder, rows: slice):
    """Sum both terms on `rows` of eight fixed inputs, in the one forward that DDP expects."""
    draw = torch.Generator().manual_seed(5)
    inputs = torch.cat([torch.randn(8, 6, generator=draw)[rows] for _ in range(4)])
    features = dict(zip(NAMES, F.normalize(encoder(inputs), dim=-1).chunk(4)))
    return sum(DaClipLoss()({**features, "logit_scale": torch.tensor(4.0)}))


def two_ranks(rank: int, port: str, folder: Path) -> None:
    """Run one of the two processes."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    torch.manual_seed(3)
    net = torch.nn.Linear(6, 4, bias=False)
    if rank == 0:
        torch.save(net.state_dict(), folder / "start.pth")
    net = torch.nn.parallel.DistributedDataParallel(net)
    loss = step_loss(net, slice(4 * rank, 4 * rank + 4))
    loss.backward()
    torch.save({"loss": loss.detach(), "gradient": net.module.weight.grad}, folder / f"{rank}.pth")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    two_ranks(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
