"""Plug-ins: packages that option files name, or that have an entry point."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy_option_files
from toy_option_files import make_folders, problem_texts, problems

from wxr_plugin.errors import OptionError
from wxr_plugin.options import files as option_files
from wxr_plugin.options import plugins

NETWORK = """
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.models.sr_model import SRModel
from torch import nn


@ARCH_REGISTRY.register()
class NAMENet(nn.Module):
    def __init__(self, width, depth=2):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 3, 4, 4)

    def forward(self, lq):
        return self.up(lq)


@DATASET_REGISTRY.register()
class NAMEDataset(PairedImageDataset):
    pass


@MODEL_REGISTRY.register()
class NAMEModel(SRModel):
    pass
"""


@pytest.fixture
def opt(tmp_path, monkeypatch):
    make_folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return toy_option_files.parse(toy_option_files.MSRRESNET, tmp_path)


def write_package(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(f"from {name} import parts\n")
    (folder / name / "parts.py").write_text(text)


def test_a_package_of_the_current_directory_is_imported_and_its_classes_count(opt, tmp_path):
    opt["network_g"] = {"type": "LocalNet", "width": 8}
    assert "no network 'LocalNet'" in problem_texts(opt, tmp_path)["network_g.type"]
    write_package(tmp_path, "local_plugin", NETWORK.replace("NAME", "Local"))
    opt["plugins"] = ["local_plugin"]
    assert problems(opt, tmp_path) == []
    opt["network_g"] = {"type": "LocalNet", "depht": 3}
    assert problem_texts(opt, tmp_path) == {
        "network_g.depht": "unknown key; did you mean depth?",
        "network_g.width": "missing; LocalNet needs it",
    }
    # its dataset and model declare no schema, so that any key is accepted there
    opt["network_g"] = {"type": "LocalNet", "width": 8}
    opt["datasets"]["val"] |= {"type": "LocalDataset", "anything": 1}
    opt |= {"model_type": "LocalModel", "anything": 1}
    opt["train"]["anything"] = 1
    assert problems(opt, tmp_path) == []
    opt["train"]["ema_decay"] = "none"
    assert list(problem_texts(opt, tmp_path)) == ["train.ema_decay"]


def test_imports_that_fail_say_why(opt, tmp_path):
    (tmp_path / "needs_more.py").write_text("import a_package_that_nobody_has\n")
    (tmp_path / "broken.py").write_text("\n\nraise RuntimeError('first line\\nsecond line')\n")
    opt["plugins"] = ["needs_more", "broken", "brokem", "nothing_like_it.at_all"]
    texts = list(problem_texts(opt, tmp_path).values())
    assert (
        "needs_more cannot be imported: ModuleNotFoundError: No module named "
        "'a_package_that_nobody_has'" in texts[0]
    )
    assert (
        f"RuntimeError: first line second line ({tmp_path}/broken.py:3); fix the package"
        in texts[1]
    )
    assert texts[2].endswith("did you mean broken?")
    assert "install it, or start in the folder" in texts[3]
    assert all(problem.line for problem in problems(opt, tmp_path))
    with pytest.raises(OptionError, match=r"(?s)needs_more.*broken.*nothing_like_it"):
        option_files.import_plugins(opt)


def test_plugins_must_be_a_list_of_names(opt, tmp_path):
    opt["plugins"] = "local_plugin"
    assert "write a list, each item a text" in problem_texts(opt, tmp_path)["plugins"]


def install(site: Path, text: str) -> None:
    """Write the metadata that pip installs for a package with an entry point."""
    site.mkdir()
    write_package(site, "installed_plugin", text)
    info = site / "installed_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wxr_plugin.plugins]\nnets = installed_plugin\n")


@pytest.mark.slow
def test_a_network_of_an_installed_package_is_found_by_its_entry_point_and_trained(opt, tmp_path):
    install(tmp_path / "site", NETWORK.replace("NAME", "Installed"))
    toy_option_files.short(opt)["network_g"] = {"type": "InstalledNet", "width": 4}
    assert "no network 'InstalledNet'" in problem_texts(opt, tmp_path)["network_g.type"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "wxr_plugin.train", "-opt", "options.yml"]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    weights = tmp_path / "experiments" / opt["name"] / "models" / "net_g_latest.pth"
    assert list(torch.load(weights, weights_only=True)["params"]) == ["up.weight", "up.bias"]


def test_an_installed_package_that_cannot_be_imported_is_named(opt, tmp_path, monkeypatch):
    install(tmp_path / "site", "import nothing_here\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    plugins.installed.cache_clear()
    try:
        text = problem_texts(opt, tmp_path)[""]
    finally:
        plugins.installed.cache_clear()
    assert (
        "the installed plug-in nets (installed_plugin) cannot be imported: ModuleNotFoundError"
        in text
    )
    assert text.endswith("fix or uninstall installed-plugin")
