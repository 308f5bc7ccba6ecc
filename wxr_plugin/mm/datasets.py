"""Datasets of BasicSR's registry, ours and stock, for MMEngine's data loaders."""

from collections.abc import Mapping
from typing import Any, Literal

from basicsr.data import build_dataset
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from wxr_plugin.data.seeding import SeededDataset
from wxr_plugin.models.base.val_metrics import image_name


@DATASETS.register_module()
class WxrDataset(Dataset):
    """Dataset described by a block of an option file: folders, LMDBs, synthetic weather, photos.

    Args:
        dataset: its block: {type: PairedWeatherDataset, dataroot_gt: ...}; see docs/data.md.
        phase: train, for random crops and turns; val, for whole images, each item then with its
            `name`.

    Items are the dataset's own: `lq`, `gt`, `lq_path`, ... Join them with
    `collate_fn=dict(type="default_collate")`.

    Raises:
        WxrError: as the dataset does.
    """

    def __init__(self, dataset: Mapping[str, Any], phase: Literal["train", "val"] = "train"):
        self.opt = {"name": phase, "scale": 1, **plain(dataset), "phase": phase}
        self.dataset = self.samples = build_dataset(self.opt)
        self.metainfo = {"name": self.opt["name"]}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> dict[str, Any]:
        item = self.samples[number]
        # pictures and tables of validation show the image under this name
        if self.opt["phase"] == "val" and "lq_path" in item:
            item = {**item, "name": image_name(item["lq_path"], self.opt)}
        return item

    def seed(self, seed: int) -> None:
        """Make samples a function of `seed` and of the numbers that WxrSampler draws."""
        self.samples = SeededDataset(self.dataset, seed)


def plain(options: Any) -> Any:
    """Return MMEngine's config objects as dicts and lists."""
    if isinstance(options, Mapping):
        return {key: plain(value) for key, value in options.items()}
    return [plain(value) for value in options] if isinstance(options, list | tuple) else options
