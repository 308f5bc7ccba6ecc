"""Every dependency has a wheel for each Python that setup.py allows; BasicSR is built."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from setup_file import REPOSITORY, keyword, pins

SUPPORTED = SpecifierSet(keyword("python_requires"))
VERSIONS = [version for version in ("3.11", "3.12", "3.13", "3.14", "3.15") if version in SUPPORTED]
BUILT = ("basicsr", "openai-clip")
"""Packages without wheels, which any Python builds."""
OFFLINE = re.compile(
    "dns|network|connect|timed out|timeout|offline|proxy|certificate", re.IGNORECASE
)


def resolve(version: str, folder: Path, *options: str) -> dict[str, str]:
    """Return the version of each package that uv chooses from wheels for a Python; or skip."""
    wanted = folder / "wanted.in"
    wanted.write_text("\n".join(_needed()))
    command = [
        *(_uv() or pytest.skip("uv is not installed")),
        *("pip", "compile", "-q", "--no-header", "--no-annotate", "--no-emit-index-url"),
        *("--python-version", version, "--python-platform", "x86_64-manylinux_2_28"),
        *("--only-binary", ":all:", *_no_binary(), *options, str(wanted)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    if done.returncode and OFFLINE.search(done.stderr):
        pytest.skip(f"uv cannot reach an index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    lines = [Requirement(line) for line in done.stdout.splitlines() if "==" in line]
    return {line.name: str(line.specifier).removeprefix("==") for line in lines}


def _uv() -> list[str]:
    """Return the command of uv: the program, or the package of this environment."""
    if shutil.which("uv"):
        return ["uv"]
    has_module = subprocess.run(
        [sys.executable, "-m", "uv", "-V"], capture_output=True, check=False
    )
    return [sys.executable, "-m", "uv"] if has_module.returncode == 0 else []


def _needed() -> list[str]:
    """Return the requirements of the core and the extras for users, without those BUILT."""
    lines = list(keyword("install_requires"))
    for extra, names in keyword("extras_require").items():
        lines += names if extra not in ("all", "dev", "mmagic") else []
    return [line for line in lines if Requirement(line).name not in BUILT]


def _no_binary() -> list[str]:
    # uv reads their requirements from the metadata of the source archive.
    return [word for name in BUILT for word in ("--no-binary", name)]


def test_the_versions_are_those_that_the_docs_name():
    readme = (REPOSITORY / "README.md").read_text()
    assert VERSIONS == ["3.11", "3.12", "3.13", "3.14"]
    assert "nothing was run on it" in readme, "3.14"
    tested = [line for line in keyword("classifiers") if "3." in line]
    assert [line.rpartition(" ")[2] for line in tested] == VERSIONS[:-1]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.13", "3.14"])
def test_the_pins_have_wheels(version, tmp_path):
    chosen = resolve(version, tmp_path, "-c", str(REPOSITORY / "constraints.txt"))
    unpinned = {name for name in chosen if name not in pins()}
    # Markers of a version may ask for packages that 3.11, on which the pins are written, lacks.
    assert {name for name in unpinned if not re.match("nvidia-|cuda-|triton", name)} == set()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.13", "3.14"])
def test_the_floors_have_wheels(version, tmp_path):
    chosen = resolve(version, tmp_path, "--resolution", "lowest-direct")
    for line in map(Requirement, _needed()):
        if line.marker is None or line.marker.evaluate({"python_version": version}):
            floors = [part.version for part in line.specifier if part.operator == ">="]
            assert floors[0] <= chosen[line.name.lower().replace("_", "-")], line
