"""The folder of a training, as BasicSR and this package leave it."""

from pathlib import Path

import numpy as np
import torch
import yaml
from basicsr.archs import build_network

from wxr_plugin.data.images.io import write_image

NETWORK = {"type": "NAFNet", "width": 4, "enc_blk_nums": [1], "middle_blk_num": 1}
NETWORK |= {"dec_blk_nums": [1]}


def write_experiment(folder: Path, stores_network: bool = True) -> Path:
    """Write checkpoints, option file, validation table and pictures; return the folder."""
    torch.manual_seed(0)
    weights = build_network(dict(NETWORK)).state_dict()
    # The last layer of a new NAFNet is no zero, so that results differ from inputs.
    entries = {"params": weights, "params_ema": weights}
    if stores_network:
        entries["network_g"] = NETWORK
    (folder / "models").mkdir(parents=True)
    torch.save(entries, folder / "models" / "net_g_latest.pth")
    photos = folder.parent / "photos"
    write_image(photos / "a.png", np.full((8, 12, 3), 40, np.uint8))
    for iteration, grey in ((5, 90), (10, 200)):
        picture = np.full((8, 12, 3), grey, np.uint8)
        write_image(folder / "visualization" / "held" / f"a_{iteration}.png", picture)
    (folder / "validation").mkdir()
    # Names that are numbers are no values.
    table = "iter,image,weather,PSNR\n5,1,rain,20.0\n10,1,rain,30.0\n10,2,rain,31.0\n"
    (folder / "validation" / "held.csv").write_text(table)
    options = {
        "name": "rain",
        "manual_seed": 7,
        "network_g": NETWORK,
        "datasets": {
            "train": {
                "name": "many",
                "type": "PairedWeatherDataset",
                "dataroot_gt": "/home/somebody/clear",
                "batch_size_per_gpu": 4,
            },
            "val": {"name": "held", "type": "PairedWeatherDataset", "dataroot_lq": str(photos)},
        },
        "path": {"pretrain_network_g": "hf://first/start", "root": "/home/somebody"},
        "train": {"total_iter": 10, "pixel_opt": {"type": "L1Loss", "loss_weight": 2.0}},
    }
    (folder / "rain.yml").write_text("# CMD: /home/somebody/wxr\n" + yaml.safe_dump(options))
    return folder
