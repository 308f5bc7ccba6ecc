"""`wxr new arch`: its files work without an edit, and existing files are not overwritten."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stock_project import write_pairs

from wxr_plugin.cli import main as cli
from wxr_plugin.contributing.new_arch import NewArchError, new_arch

REPOSITORY = Path(__file__).parents[2]
SHORT = {
    "num_gpu": 0,
    "train:total_iter": 2,
    "val:val_freq": 2,
    "logger:save_checkpoint_freq": 2,
    "logger:use_tb_logger": False,
    "datasets:train:gt_size": 16,
    "datasets:train:num_worker_per_gpu": 0,
    "datasets:train:persistent_workers": False,
    "datasets:train:batch_size_per_gpu": 1,
    "network_g:width": 4,
    "network_g:blocks": 1,
}
NEW = """
from wxr_plugin.cli import main as cli

assert cli.main(["new", "arch", "FrostNet"]) == 0
assert cli.main(["new", "arch", "RimeNet", "--into", "own/my_networks"]) == 0
"""
FORCED = [f"{key}={value}" for key, value in SHORT.items()]
USE = f"""
import os, sys

import wxr_plugin
import pytest
from basicsr.utils.registry import ARCH_REGISTRY
from wxr_plugin.cli import main as cli
from wxr_plugin.contributing import network_checks
from wxr_plugin.zoo.rows import find_row

row = find_row("frostnet")
assert row.network_g["type"] == "FrostNet" and row.option == "options/train/baselines/frostnet.yml"
ARCH_REGISTRY.get("FrostNet")()
for check in network_checks.CHECKS.values():
    check(ARCH_REGISTRY.get("FrostNet"))
assert cli.main(["check", row.option]) == 0
sys.argv = ["wxr", "train", "-opt", row.option, "--force_yml", *{FORCED}]
assert cli.main(sys.argv[1:]) == 0

os.chdir("own")
assert cli.main(["check", "my_networks/rimenet.yml"]) == 0
assert pytest.main(["-q", "-p", "no:cacheprovider", "my_networks/test_rimenet.py"]) == 0
"""
"""Use of both networks by a contributor; one process, since importing torch takes longest."""
RULES = ["--isolated", "--line-length", "120"]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Make the folders of a repository that networks go to."""
    for folder in ("wxr_plugin/archs", "wxr_plugin/zoo", "options/train/baselines"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(root: Path) -> dict[str, str]:
    return {
        str(file.relative_to(root)): file.read_text() for file in root.rglob("*") if file.is_file()
    }


def test_a_network_of_the_repository_has_three_files_and_next_steps(repository, capsys):
    assert cli.main(["new", "arch", "FrostNet"]) == 0
    arch, option, row = (
        "wxr_plugin/archs/frostnet_arch.py",
        "options/train/baselines/frostnet.yml",
        "wxr_plugin/zoo/frostnet.yml",
    )
    assert everything(repository).keys() == {arch, option, row}
    assert "class FrostNet(nn.Module)" in (repository / arch).read_text()
    printed = capsys.readouterr().out
    for file in (arch, option, row):
        assert f"wrote {file}" in printed
    assert f"wxr check {option}" in printed and "-k FrostNet" in printed


def test_a_network_of_a_plug_in_brings_its_package_once(repository, capsys):
    assert cli.main(["new", "arch", "FrostNet", "--into", "mine"]) == 0
    assert "python -m pytest mine/test_frostnet.py" in capsys.readouterr().out
    (repository / "mine" / "__init__.py").write_text("own = 1\n")
    assert cli.main(["new", "arch", "RimeNet", "--into", "mine"]) == 0
    assert "import rimenet_arch in mine/__init__.py" in capsys.readouterr().out
    files = {f"{name}{end}" for name in ("frostnet", "rimenet") for end in ("_arch.py", ".yml")}
    assert {path.name for path in (repository / "mine").iterdir()} == files | {
        "__init__.py",
        "test_frostnet.py",
        "test_rimenet.py",
    }
    assert (repository / "mine" / "__init__.py").read_text() == "own = 1\n"
    assert "plugins: [mine]" in (repository / "mine" / "rimenet.yml").read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Frost-Net", "not a name for a Python class"),
        ("class", "not a name for a Python class"),
        ("_Frost", "not a name for a Python class"),
        ("../Frost", "not a name for a Python class"),
        ("Fröst", "not a name for a Python class"),
        ("msbdn", "the network MSBDN is registered already"),
        ("RRDBNet", "the network RRDBNet is registered already"),
    ],
)
def test_a_name_that_is_invalid_or_taken_is_refused(repository, capsys, name, words):
    assert cli.main(["new", "arch", name]) == 2
    assert words in capsys.readouterr().err
    assert not everything(repository)


@pytest.mark.parametrize(
    "taken", ["wxr_plugin/zoo/frostnet.yml", "options/train/baselines/frostnet.yml"]
)
def test_existing_files_are_kept_and_nothing_is_written(repository, capsys, taken):
    (repository / taken).write_text("mine")
    assert cli.main(["new", "arch", "FrostNet"]) == 2
    assert f"{taken}: there already; nothing was written" in capsys.readouterr().err
    assert everything(repository) == {taken: "mine"}


def test_folders_that_cannot_take_a_network_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "arch", "FrostNet"]) == 2
    words = "not the repository of wxr_plugin: start there, or give your own package with --into"
    assert words in capsys.readouterr().err
    with pytest.raises(NewArchError, match="a name that Python can import"):
        new_arch("FrostNet", tmp_path, tmp_path / "my-networks")
    (tmp_path / "file").write_text("")
    with pytest.raises(NewArchError, match="a file; --into names the folder"):
        new_arch("FrostNet", tmp_path, tmp_path / "file")
    assert everything(tmp_path) == {"file": ""}


@pytest.mark.slow
def test_new_networks_pass_the_contract_tests_ruff_and_wxr_check_and_train(tmp_path):
    unwanted = shutil.ignore_patterns("assets", "__pycache__")
    shutil.copytree(REPOSITORY / "wxr_plugin", tmp_path / "wxr_plugin", ignore=unwanted)
    (tmp_path / "wxr_plugin" / "assets").symlink_to(REPOSITORY / "wxr_plugin" / "assets")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for seed, phase in enumerate(("train", "val")):
        write_pairs(tmp_path / "datasets" / phase, count=8, seed=seed)
    own = tmp_path / "own"
    own.mkdir()
    (own / "datasets").symlink_to(tmp_path / "datasets")

    python(tmp_path, "-c", NEW)
    python(tmp_path, "-m", "ruff", "check", "wxr_plugin/archs/frostnet_arch.py")
    python(tmp_path, "-m", "ruff", "format", "--check", "wxr_plugin/archs/frostnet_arch.py")
    assert len(list((own / "my_networks").glob("*.py"))) == 3
    python(own, "-m", "ruff", "check", *RULES, "--select", "E,F,W,I,B,UP,C4,SIM", "my_networks")
    python(own, "-m", "ruff", "format", *RULES, "--check", "my_networks")
    python(tmp_path, "-c", USE)
    assert (tmp_path / "experiments" / "frostnet" / "models" / "net_g_2.pth").is_file()


def python(folder: Path, *arguments: str) -> None:
    """Run Python in `folder`, where the package that lies there or above is imported."""
    root = folder if (folder / "wxr_plugin").is_dir() else folder.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
