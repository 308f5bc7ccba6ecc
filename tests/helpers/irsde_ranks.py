"""Process that trains and validates an IRSDEModel with others; torchrun passes a folder."""

import sys
from pathlib import Path

import fid_toys  # noqa: F401
import torch
import torch.distributed as dist
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from toy_training import batches

import wxr_plugin  # noqa: F401

METRICS = {
    "psnr": {"type": "calculate_psnr", "crop_border": 0},
    "fid": {"type": "calculate_fid", "device": "cpu", "better": "lower"},
}


def make(root: Path, pairs: dict, processes: int = 1, rank: int = 0):
    """Build the model, with its folders below `root`."""
    places = ("models", "training_states", "visualization")
    opt = {
        "name": "run",
        "model_type": "IRSDEModel",
        "num_gpu": 0,
        "is_train": True,
        "dist": processes > 1,
        "rank": rank,
        "world_size": processes,
        "manual_seed": 3,
        "path": {"experiments_root": str(root), **{place: str(root / place) for place in places}},
        "datasets": {"val": {**pairs, "phase": "val"}},
        "sde": {"steps": 10, "max_sigma": 25},
        "val": {
            "val_freq": 5,
            "save_img": True,
            "metrics": METRICS,
            "sampling": {"steps": 3, "seed": 4},
        },
        "logger": {"save_checkpoint_freq": 10, "print_freq": 1},
        "network_g": {"type": "ConditionalUNet", "nf": 8, "ch_mult": [1, 2]},
        "train": {
            "total_iter": 20,
            "ema_decay": 0.5,
            "optim_g": {"type": "Adam", "lr": 1e-2},
            "scheduler": {"type": "MultiStepLR", "milestones": [30]},
            "pixel_opt": {"type": "L1Loss"},
        },
    }
    torch.manual_seed(rank)
    return build_model(opt)


def validate(model) -> None:
    (block,) = model.opt["datasets"].values()
    model.nondist_validation(
        build_dataloader(build_dataset(block), block, num_gpu=0), 1, None, save_img=True
    )


def main(root: Path) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    pairs = torch.load(root / "pairs.pth", weights_only=True)
    model = make(root / "ranks", pairs, dist.get_world_size(), rank)
    for iteration, batch in enumerate(batches(2, size=2, seed=rank), 1):
        model.feed_data(batch)
        model.optimize_parameters(iteration)
    states = {
        "net_g": model.get_bare_model(model.net_g).state_dict(),
        "ema": model.net_g_ema.state_dict(),
    }
    torch.save(states | {"lq": model.lq}, root / f"rank_{rank}.pth")
    validate(model)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
