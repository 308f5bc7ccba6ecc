"""docs/architecture.md names modules that exist and the floors that the linter checks."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
MODULES = sorted(set(re.findall(r"`(wxr_plugin/[\w/]+\.py)`", PAGE)))


@pytest.mark.parametrize("module", MODULES)
def test_modules_that_the_walks_name_exist(module):
    assert (REPOSITORY / module).is_file()


def test_all_floors_of_the_linter_are_in_the_diagram():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    folders = re.findall(r"wxr_plugin\.(\w+)", " ".join(layers))
    diagram = PAGE.split("```mermaid")[1].split("```")[0]
    missing = [folder for folder in folders if not re.search(rf"\b{folder}\b", diagram)]
    assert not missing


def test_every_folder_of_the_package_has_a_floor():
    package = REPOSITORY / "wxr_plugin"
    folders = {path.parent.name for path in package.glob("*/__init__.py")} - {"assets", "compat"}
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    layers = re.findall(r"wxr_plugin\.(\w+)", text)
    assert folders <= set(layers)


def test_the_package_root_stays_small():
    assert len(list((REPOSITORY / "wxr_plugin").glob("*.py"))) <= 8


def test_the_walk_through_restore_stays_short():
    script = [sys.executable, "tools/measure_walk.py", "--by-name", "--list"]
    output = subprocess.run(script, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    count = re.search(r"(\d+) moves between \d+ modules", output.stdout)
    assert int(count[1]) <= 26
    for entry in ("zoo/files.py: find_files", "inference/pipeline.py: restore_files"):
        assert f"wxr_plugin/{entry}" in output.stdout
