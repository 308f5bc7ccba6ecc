"""A plug-in for tests: WResVLMModel that logs its batches, and raters that fail on one rank."""

from pathlib import Path

import torch
from basicsr.utils.dist_util import get_dist_info
from basicsr.utils.registry import MODEL_REGISTRY
from rating_toys import BrightnessOptions, BrightnessRater

from wxr_plugin.models.wresvlm_model import WResVLMModel
from wxr_plugin.vlm.registries import RATER_REGISTRY


@MODEL_REGISTRY.register()
class TrailWResVLMModel(WResVLMModel):
    """Appends the keys of each batch to keys_<rank>.txt in the experiment's folder."""

    def after_step(self, current_iter):
        super().after_step(current_iter)
        path = Path(self.opt["path"]["experiments_root"]) / f"keys_{self.opt['rank']}.txt"
        with open(path, "a") as file:
            file.writelines(f"{key}\n" for key in self.data["real_key"])


@RATER_REGISTRY.register()
class OneRankRater(BrightnessRater):
    """BrightnessRater that raises on every process but the first."""

    Options = BrightnessOptions

    def __init__(self, options):
        super().__init__(options)
        self.broken = get_dist_info()[0] > 0


@RATER_REGISTRY.register()
class OneRankMemoryRater(OneRankRater):
    """BrightnessRater that runs out of memory on every process but the first."""

    Options = BrightnessOptions

    def rate(self, images):
        if self.broken:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB")
        return super().rate(images)
