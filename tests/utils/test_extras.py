"""Packages of extras: a missing one is reported in one line that names its extra."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from setup_file import keyword

from wxr_plugin.app.page import build
from wxr_plugin.app.settings import Settings
from wxr_plugin.archs.mprnet_arch import MPRNet
from wxr_plugin.archs.restormer_arch import Restormer
from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.inference.engines.building import check_engine
from wxr_plugin.labels.parquet import arrow_schema
from wxr_plugin.metrics.fid_features import load_inception
from wxr_plugin.metrics.full_reference_metric import calculate_fr_iqa
from wxr_plugin.metrics.no_reference_metric import calculate_iqa
from wxr_plugin.utils import extras
from wxr_plugin.utils.commands import user_message
from wxr_plugin.utils.extras import EXTRAS, MissingExtraError, imported
from wxr_plugin.video.reading import open_video
from wxr_plugin.vlm.loading import _quantization
from wxr_plugin.vlm.rater import build_rater

CPU = torch.device("cpu")
GREY = np.full((64, 64, 3), 128, np.uint8)
SERVER = {"type": "ServerRater", "url": "http://localhost:1/v1", "model": "any"}
USES = [
    ("pyiqa", lambda: calculate_iqa(GREY, "brisque")),
    ("pyiqa", lambda: calculate_fr_iqa(GREY, GREY, "dists")),
    ("pyiqa", lambda: load_inception("missing.pth", "cpu")),
    ("pyiqa", lambda: build_rater({"type": "PyiqaRater", "metric": "ilniqe"})),
    ("spandrel_extra_arches", lambda: Restormer(**Restormer.smoke)),
    ("spandrel_extra_arches", lambda: MPRNet(**MPRNet.smoke)),
    ("accelerate", lambda: _quantization("8bit", "float16")),
    ("bitsandbytes", lambda: _quantization("4bit", "float16")),
    ("openai", lambda: build_rater(SERVER)),
    ("onnxruntime", lambda: check_engine("onnxruntime", CPU, "fp32")),
    ("onnx", lambda: check_engine("onnxruntime", CPU, "fp32")),
    ("openvino", lambda: check_engine("openvino", CPU, "fp32")),
    ("gradio", lambda: build(Settings([]))),
    ("av", lambda: open_video(Path("clip.mp4"))),
    ("pyarrow", arrow_schema),
    ("sklearn", lambda: packaged_photo("china")),
]


@pytest.fixture
def without(monkeypatch):
    """Let the import of a package fail as if it were not installed."""

    def block(package: str) -> None:
        for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return block


@pytest.mark.parametrize("package, use", USES)
def test_a_use_names_the_extra_of_a_missing_package(without, package, use):
    without(package)
    (extra,) = [extra for extra, packages in EXTRAS.items() if package in packages]
    with pytest.raises(MissingExtraError) as caught:
        use()
    message = user_message(caught.value)
    assert message.startswith(f"{package} is not installed")
    assert message.endswith(f'pip install "wxr_plugin[{extra}]"')
    assert "\n" not in message


def test_every_extra_has_a_use():
    # Without gdown the next address of a file is tried: zoo/test_download_rows.py.
    packages = {package for package, _ in USES} | {"gdown"}
    assert all(packages & set(modules) for modules in EXTRAS.values())


def test_a_package_without_its_own_dependency_is_reported(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import its_missing_dependency.part\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(extras.EXTRAS, "half", ("half_installed",))
    with pytest.raises(MissingExtraError, match=r"^its_missing_dependency .*half_installed needs"):
        imported("half_installed")


def test_another_error_of_a_package_is_unchanged(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("from json import no_such_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(extras.EXTRAS, "broken", ("broken_package",))
    with pytest.raises(ImportError, match="no_such_name"):
        imported("broken_package")


def test_setup_offers_the_extras_and_all_of_them_at_once():
    offered = keyword("extras_require")
    assert set(EXTRAS) == set(offered) - {"all", "dev", "mmagic"}
    assert offered["all"] == [f"wxr_plugin[{','.join(sorted(EXTRAS))}]"]
