"""`import wxr_plugin` imports nothing heavy; BasicSR and its registries are ready when used."""

import subprocess
import sys
from contextlib import contextmanager

import pytest
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, Registry

from wxr_plugin.checkpoints import reading
from wxr_plugin.compat import filling, imports

USES = {
    "a lookup": "from basicsr.utils.registry import ARCH_REGISTRY as r; r.get('NAFNet')",
    "membership": "from basicsr.utils.registry import LOSS_REGISTRY as r; assert 'PSNRLoss' in r",
    "iteration": "from basicsr.utils.registry import METRIC_REGISTRY as r; "
    "assert 'calculate_vlm_vis' in dict(iter(r))",
    "keys": "from basicsr.utils.registry import DATASET_REGISTRY as r; "
    "assert 'PairedWeatherDataset' in r.keys()",
    "a build": "from basicsr.archs import build_network; build_network({'type': 'PReNet'})",
    "a class": "from wxr_plugin.archs.nafnet_arch import NAFNet; "
    "from basicsr.utils.registry import ARCH_REGISTRY as r; assert r.get('NAFNet') is NAFNet",
    "a module of BasicSR": "from basicsr.models.base_model import BaseModel; "
    "assert BaseModel.save_network.repaired_by; "
    "from basicsr.utils.registry import MODEL_REGISTRY as r; r.get('WxrModel')",
}


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


def test_the_parsers_of_all_commands_import_nothing_heavy():
    heavy = {"rich", "torch", "numpy", "cv2", "basicsr"}
    run(
        "import sys; from wxr_plugin.cli.main import build_parser; build_parser(); "
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )


@pytest.mark.slow
@pytest.mark.parametrize("use", USES)
def test_one_import_of_the_package_is_enough_before(use):
    run(f"import sys, wxr_plugin; assert 'basicsr' not in sys.modules; {USES[use]}")


@pytest.mark.slow
@pytest.mark.parametrize("first", ["wxr_plugin", "mmengine"])
def test_mmengine_knows_the_bare_names_whichever_is_imported_first(first):
    lookup = "from mmengine.registry import MODELS; MODELS.get('Linear')"
    package = "import wxr_plugin"
    start = f"{package}; {lookup}" if first == "wxr_plugin" else f"{lookup}; {package}"
    run(f"{start}; assert MODELS.get('MSBDN').__module__.startswith('wxr_plugin')")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a module that can be imported and is not yet, and that appends to `events`."""
    (tmp_path / "just_a_module.py").write_text("import builtins\nbuiltins.events.append('run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("builtins.events", [], raising=False)
    yield "just_a_module"
    sys.modules.pop("just_a_module", None)
    imports._CONTEXTS.pop("just_a_module", None)


def test_code_runs_around_and_after_the_first_import(module):
    import builtins

    @contextmanager
    def context():
        builtins.events.append("before")
        yield
        builtins.events.append("after")

    imports.around(module, context)
    assert builtins.events == []
    __import__(module)
    __import__(module)
    assert builtins.events == ["before", "run", "after"]


def test_after_a_module_that_is_there_code_runs_at_once(module):
    import builtins

    __import__(module)
    imports.after(module, lambda: builtins.events.append("after"))
    assert builtins.events == ["run", "after"]


def test_an_error_of_the_code_leaves_the_module_unimported(module):
    imports.after(module, lambda: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            __import__(module)
        assert module not in sys.modules


def test_a_part_that_cannot_be_imported_raises_at_every_lookup(monkeypatch):
    monkeypatch.setattr(filling, "_STARTED", set())
    monkeypatch.setattr(filling, "modules_of", lambda kind: ["wxr_plugin.no_such_module"])
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            ARCH_REGISTRY.get("NAFNet")


def test_registries_of_other_packages_are_left_alone(monkeypatch):
    monkeypatch.setattr(filling, "fill_kind", lambda kind: pytest.fail("filled"))
    monkeypatch.setattr(filling, "_STARTED", set())
    theirs = Registry("arch")
    theirs.register(type("Own", (), {}))
    assert "Own" in theirs and "NAFNet" not in theirs


def test_every_kind_is_complete():
    assert {"DaCLIP", "NAFNet"} <= set(ARCH_REGISTRY.keys()) and "PSNRLoss" in LOSS_REGISTRY


def test_reading_knows_the_classes_in_published_files():
    assert len(reading.published_classes()) > 3
