"""A project with a class of the same name as one of ours, imported before or after us."""

import subprocess
import sys

import pytest
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, Registry
from mmengine.registry import MODELS
from torch import nn

from wxr_plugin import registry
from wxr_plugin.archs.nafnet_arch import NAFNet
from wxr_plugin.checkpoints import mmengine_pickles
from wxr_plugin.checkpoints.fitting import network_shapes
from wxr_plugin.cli import schema_text
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.options.checks.components import registered
from wxr_plugin.utils import namesakes
from wxr_plugin.zoo import rows

PROJECT = """
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY
from basicsr.utils.registry import METRIC_REGISTRY, MODEL_REGISTRY
from torch import nn


@ARCH_REGISTRY.register()
class NAFNet(nn.Module):
    pass


@LOSS_REGISTRY.register()
class PSNRLoss(nn.Module):
    pass


@MODEL_REGISTRY.register()
class WxrModel:
    pass


@DATASET_REGISTRY.register()
class PairedWeatherDataset:
    pass


@METRIC_REGISTRY.register()
def calculate_vlm_vis(img):
    return 0.0
"""

CHECK = """
from basicsr.utils import registry
names = dict(ARCH="NAFNet", LOSS="PSNRLoss", MODEL="WxrModel", DATASET="PairedWeatherDataset",
             METRIC="calculate_vlm_vis")
for kind, name in names.items():
    entries = getattr(registry, kind + "_REGISTRY")
    assert entries.get(name) is getattr(their_project, name), name
    ours = entries.get(name + "_wxr")
    assert ours.__module__.startswith("wxr_plugin.") and ours.__name__ == name, name
    assert name in entries and name + "_wxr" in entries and name + "_wxr" in entries.keys(), name
assert "MSBDN_wxr" in registry.ARCH_REGISTRY and "MSBDN_wxr" not in registry.ARCH_REGISTRY.keys()
assert registry.ARCH_REGISTRY.get("MSBDN_wxr") is registry.ARCH_REGISTRY.get("MSBDN")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "order", ["import wxr_plugin, their_project", "import their_project, wxr_plugin"]
)
def test_their_classes_have_the_bare_names_and_ours_a_suffix_in_either_order(tmp_path, order):
    (tmp_path / "their_project.py").write_text(PROJECT)
    alias = (
        "import sys, types, torchvision.transforms.functional as f; "
        "m = types.ModuleType('functional_tensor'); m.rgb_to_grayscale = f.rgb_to_grayscale; "
        "sys.modules['torchvision.transforms.functional_tensor'] = m\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", alias + order + CHECK],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stderr.splitlines() if "NAFNet now means" in line]
    assert lines == ["NAFNet now means the arch of their_project; ours is NAFNet_wxr"]


@pytest.fixture
def their_nafnet():
    """Register a NAFNet of another project after ours, and remove it afterwards."""
    theirs = type("NAFNet", (nn.Module,), {"__module__": "their_project"})
    ARCH_REGISTRY.register(theirs)
    yield theirs
    ARCH_REGISTRY._obj_map.pop("NAFNet_wxr")
    ARCH_REGISTRY._obj_map["NAFNet"] = NAFNet


def test_the_checker_and_option_files_reach_both(their_nafnet):
    networks = registered("network")
    assert networks["NAFNet"] is their_nafnet and networks["NAFNet_wxr"] is NAFNet
    assert type(build_network({"type": "NAFNet_wxr", **NAFNet.smoke})) is NAFNet
    assert type(build_network({"type": "NAFNet"})) is their_nafnet


def test_published_methods_the_packaged_network_and_our_scope_are_ours_all_the_same(their_nafnet):
    row = next(row for row in rows.rows().values() if row.network_g["type"] == "NAFNet")
    assert network_shapes(next(rows.networks(row)))
    assert mmengine_pickles.network_of(
        {"cfg": "model = dict(generator=dict(type='wxr_plugin.NAFNet', width=8))"}
    ) == {
        "type": "NAFNet_wxr",
        "width": 8,
    }
    assert namesakes.our_network({"type": "NAFNet"}) == {"type": "NAFNet_wxr"}


def test_the_packaged_restorer_is_ours_when_its_name_is_taken():
    kind = type(Restorer.from_checkpoint("tiny").net)
    ARCH_REGISTRY.register(type(kind.__name__, (nn.Module,), {"__module__": "their_project"}))
    try:
        assert type(Restorer.from_checkpoint("tiny").net) is kind
    finally:
        ARCH_REGISTRY._obj_map[kind.__name__] = ARCH_REGISTRY._obj_map.pop(f"{kind.__name__}_wxr")


def test_without_a_namesake_the_suffix_means_the_same_class():
    assert "NAFNet_wxr" in ARCH_REGISTRY and ARCH_REGISTRY.get("NAFNet_wxr") is NAFNet
    assert registered("loss")["PSNRLoss_wxr"] is LOSS_REGISTRY.get("PSNRLoss")
    assert namesakes.our_network({"type": "NAFNet", "width": 8}) == {"type": "NAFNet", "width": 8}
    assert not [name for name in schema_text.ours("network") if name.endswith("_wxr")]
    assert "MSRResNet_wxr" not in ARCH_REGISTRY, "BasicSR's own are not ours"


def test_two_classes_of_other_projects_still_raise():
    entries = Registry("toy")
    entries.register(type("Twice", (), {"__module__": "one"}))
    with pytest.raises(AssertionError, match="'Twice' was already registered"):
        entries.register(type("Twice", (), {"__module__": "other"}))


def test_mmengines_root_gives_way_too(caplog):
    theirs = type("NAFNet", (nn.Module,), {"__module__": "their_project"})
    try:
        with caplog.at_level("WARNING", "basicsr"):
            MODELS.register_module()(theirs)
        assert MODELS.get("NAFNet") is theirs and MODELS.get("wxr_plugin.NAFNet") is NAFNet
        assert "`NAFNet` in a config of MMEngine means the class of their_project" in caplog.text
        with pytest.raises(KeyError, match="already registered"):
            MODELS.register_module(module=type("NAFNet", (nn.Module,), {"__module__": "a_third"}))
    finally:
        MODELS.module_dict["NAFNet"] = NAFNet


def test_a_plugin_may_use_our_decorator_for_a_namesake():
    theirs = type("NAFNet", (nn.Module,), {"__module__": "their_project"})
    try:
        registry.register_arch(theirs)
        assert ARCH_REGISTRY.get("NAFNet") is theirs and MODELS.get("NAFNet") is theirs
        assert ARCH_REGISTRY.get("NAFNet_wxr") is MODELS.get("wxr_plugin.NAFNet") is NAFNet
    finally:
        ARCH_REGISTRY._obj_map.pop("NAFNet_wxr", None)
        ARCH_REGISTRY._obj_map["NAFNet"] = MODELS.module_dict["NAFNet"] = NAFNet
