"""Process that updates together with others (gloo); torchrun passes the folder for results."""

import math
import sys
from pathlib import Path

import wxr_plugin  # noqa: F401 (its import repairs basicsr, so it comes first)

# isort: split
import torch
import torch.distributed as dist
import wxr_toys  # noqa: F401
from basicsr.models import build_model
from toy_training import batches

SAR = {
    "type": "SARCWP",
    "width": 4,
    "enc_blk_nums": [1, 1, 1, 1],
    "dec_blk_nums": [1, 1, 1],
    "context": [],
}
SRD = {"type": "ClipSRDLoss", "clip": "tiny", "layers": [1, 1, 2, 3], "variant": "both"}


def make(model: str, net: dict, **train: object):
    """Build the model of this rank, which DDP wraps."""
    opt = {
        **{
            "name": "run",
            "model_type": model,
            "num_gpu": 0,
            "is_train": True,
            "dist": True,
            "manual_seed": 3,
        },
        **{
            "rank": dist.get_rank(),
            "world_size": dist.get_world_size(),
            "path": {"experiments_root": "."},
        },
        "datasets": {"train": {"phase": "train", "type": "PairedWeatherDataset"}},
        "logger": {"save_checkpoint_freq": 10, "print_freq": 1},
        "network_g": net,
        "train": {
            "total_iter": 20,
            "optim_g": {"type": "SGD", "lr": 1e-2},
            "pixel_opt": {"type": "L1Loss"},
            **train,
        },
    }
    torch.manual_seed(0)
    return build_model(opt)


def scales_after_infinity_on_one_rank() -> list[float]:
    """Return fp16's loss scale before and after an infinite gradient on the last rank alone."""
    model = make("WxrModel", {"type": "ToyNet", "norm": False}, amp="fp16")
    before = model.scaler.get_scale()
    update = model.update_step.apply

    def spoilt(current_iter: int) -> bool:
        if dist.get_rank() == dist.get_world_size() - 1:
            next(model.net_g.parameters()).grad[:] = math.inf
        return update(current_iter)

    model.update_step.apply = spoilt
    model.feed_data(batches(1)[0])
    model.optimize_parameters(1)
    return [before, model.scaler.get_scale()]


def synchronised_networks() -> list[list[bool]]:
    """Return, for each of two batches of an update, whether net_g and net_p exchange gradients."""
    model = make("SarCwpModel", SAR, srd_opt=SRD, accumulate=2)
    seen, losses = [], model.losses

    def noted(current_iter: int):
        seen.append([net.require_backward_grad_sync for net in (model.net_g, model.net_p)])
        return losses(current_iter)

    model.losses = noted
    for iteration in (1, 2):
        images = torch.rand(2, 1, 3, 64, 64)
        model.feed_data({"lq": images[0], "gt": images[1], "lq_path": ["a.png"]})
        model.optimize_parameters(iteration)
    return seen


def weights_after_two_sizes() -> dict[str, list[float]]:
    """Train a BatchNorm network on different sizes; return sums of weights, and calls of DDP."""
    options = {"ema_decay": 0.9, "gate": "teacher", "pseudo_opt": {"type": "PseudoLabelLoss"}}
    model = make("WResVLMModel", {"type": "ToyNet", "norm": True, "dropout": 0.0}, **options)
    sums, sizes = [], []
    model.net_g.register_forward_pre_hook(lambda net, inputs: sizes.append(inputs[0].shape[-1]))
    for iteration, batch in enumerate(batches(2, seed=dist.get_rank()), 1):
        model.feed_data({**batch, "real": torch.rand(2, 3, 16, 16), "real_key": ["a", "b"]})
        model.optimize_parameters(iteration)
        sums.append(sum(p.double().sum().item() for p in model.net_g.parameters()))
    return {"sums": sums, "sizes": sizes}


def main(root: Path) -> None:
    dist.init_process_group("gloo")
    seen = {}
    for part in (scales_after_infinity_on_one_rank, synchronised_networks, weights_after_two_sizes):
        try:
            seen[part.__name__] = part()
        except RuntimeError as error:
            seen[part.__name__] = str(error)
    torch.save(seen, root / f"seen_{dist.get_rank()}.pth")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
