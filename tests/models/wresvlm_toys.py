"""A plug-in for these tests: WResVLMModel that notes which real photos each process has seen."""

from pathlib import Path

from basicsr.utils.registry import MODEL_REGISTRY

from wxr_plugin.models.wresvlm_model import WResVLMModel


@MODEL_REGISTRY.register()
class TrailWResVLMModel(WResVLMModel):
    """Appends the keys of each batch to keys_<rank>.txt in the experiment's folder."""

    def after_step(self, current_iter):
        super().after_step(current_iter)
        path = Path(self.opt["path"]["experiments_root"]) / f"keys_{self.opt['rank']}.txt"
        with open(path, "a") as file:
            file.writelines(f"{key}\n" for key in self.data["real_key"])
