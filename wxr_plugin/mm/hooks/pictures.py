"""Hook that writes the restored images of a validation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from basicsr.utils import imwrite, tensor2img
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from wxr_plugin.utils.safe_paths import safe_join


@HOOKS.register_module()
class WxrPicturesHook(Hook):
    """Hook that writes restored images to WORK_DIR/visualization/SET/IMAGE_ITERATION.png.

    Args:
        most: number of images, the first of the set, that are written; all when None.
        out_dir: folder in place of WORK_DIR.
    """

    def __init__(self, most: int | None = None, out_dir: str | None = None):
        self.most, self.out_dir = most, out_dir

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Mapping[str, Any]] | None = None,
        mode: str = "train",
    ) -> None:
        """Write the images of a batch of a validation or a test."""
        if mode == "train":
            return
        loader = runner.val_dataloader if mode == "val" else runner.test_dataloader
        folder = safe_join(
            Path(self.out_dir or runner.work_dir) / "visualization", loader.dataset.metainfo["name"]
        )
        # number in the set; exact for batches of one image, which DefaultSampler deals out in turn
        first = (batch_idx * runner.world_size + runner.rank) * loader.batch_size
        for number, sample in enumerate(outputs or (), first):
            if self.most is None or number < self.most:
                image = sample.get("name") or f"{number:06d}"
                file = safe_join(folder, f"{image}_{runner.iter}.png")
                imwrite(tensor2img([sample["pred"]]), str(file))
