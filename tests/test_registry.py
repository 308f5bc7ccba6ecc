"""Registered classes are the same objects for BasicSR and MMEngine."""

import subprocess
import sys

import pytest
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from mmengine.registry import MODELS, Registry
from torch import nn

from wxr_plugin import registry

OURS = {
    name: (cls, words)
    for host, words in ((ARCH_REGISTRY, "register_arch"), (LOSS_REGISTRY, "register_loss"))
    for name, cls in sorted(host)
    if cls.__module__.startswith("wxr_plugin.")
}


def test_there_are_networks_and_losses():
    assert {"NAFNet", "Restormer", "DaCLIP", "PSNRLoss", "WeatherPromptLoss"} <= OURS.keys()


@pytest.mark.parametrize("name", OURS)
def test_both_hosts_know_it_by_one_name(name):
    cls, decorator = OURS[name]
    assert MODELS.module_dict.get(name) is cls and MODELS.get(f"wxr_plugin.{name}") is cls, (
        f"{cls.__module__}.{name} is in BasicSR's registry alone: decorate it with @{decorator} of "
        "wxr_plugin.registry in place of @..._REGISTRY.register(), so that MMEngine and MMagic "
        "know it too"
    )


@pytest.fixture
def other_scope():
    """Register a NAFNet of another package, such as mmagic."""
    theirs = Registry("model", parent=MODELS, scope="other_toolbox")
    theirs.register_module(name="NAFNet", module=type("NAFNet", (nn.Module,), {}))
    yield theirs
    del MODELS.children["other_toolbox"]


def test_a_package_with_the_same_name_keeps_its_own(other_scope):
    ours = ARCH_REGISTRY.get("NAFNet")
    assert other_scope.get("NAFNet") is other_scope.module_dict["NAFNet"] is not ours
    assert other_scope.get("wxr_plugin.NAFNet") is ours
    assert other_scope.get("MSBDN") is ARCH_REGISTRY.get("MSBDN")


def test_a_name_that_the_root_registry_has_already_is_left_alone(caplog):
    theirs = type("Taken", (nn.Module,), {})
    MODELS.register_module(module=theirs)
    try:
        with caplog.at_level("WARNING", "basicsr"):
            ours = registry.register_arch(type("Taken", (nn.Module,), {}))
        assert MODELS.get("Taken") is theirs and MODELS.get("wxr_plugin.Taken") is ours
        assert ARCH_REGISTRY.get("Taken") is ours
    finally:
        for entries in (MODELS.module_dict, registry.OURS.module_dict, ARCH_REGISTRY._obj_map):
            entries.pop("Taken", None)


def test_the_package_is_found_by_its_scope_and_leaves_mmagic_and_numpy_alone():
    code = (
        "import sys, numpy; before = set(vars(numpy)); from mmengine.registry import MODELS; "
        "assert MODELS.get('wxr_plugin.MSBDN').__name__ == 'MSBDN'; import wxr_plugin.mm; "
        "found = [name for name in sys.modules if name.split('.')[0] in ('mmagic', 'mmcv')]; "
        "assert not found, found; "
        "new = {name for name in set(vars(numpy)) - before if 'bool' in name}; assert not new, new"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
