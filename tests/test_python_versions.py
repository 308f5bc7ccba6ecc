"""Every dependency has a wheel for each Python that setup.py allows; BasicSR is built."""

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from setup_file import REPOSITORY, keyword, pins

SUPPORTED = SpecifierSet(keyword("python_requires"))
VERSIONS = [version for version in ("3.11", "3.12", "3.13", "3.14", "3.15") if version in SUPPORTED]
BUILT = ("basicsr", "openai-clip")
"""Packages without wheels, which any Python builds."""
OF_TORCH = re.compile("nvidia-.*|cuda-.*|triton")
"""Packages that torch pins itself."""
OFFLINE = re.compile(
    "dns|network|connect|timed out|timeout|offline|proxy|certificate", re.IGNORECASE
)


def resolve(lines: list[str], version: str, folder: Path, *options: str) -> dict[str, Version]:
    """Return the versions that uv chooses for requirements from wheels for a Python; or skip."""
    wanted = folder / "wanted.in"
    wanted.write_text("\n".join(lines))
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
    chosen = [line.split("==") for line in done.stdout.splitlines()]
    return {name: Version(number) for name, number in chosen}


def _uv() -> list[str]:
    """Return the command of uv: the program, or the package of this environment."""
    if shutil.which("uv"):
        return ["uv"]
    has_module = subprocess.run(
        [sys.executable, "-m", "uv", "-V"], capture_output=True, check=False
    )
    return [sys.executable, "-m", "uv"] if has_module.returncode == 0 else []


def direct(*without: str) -> list[str]:
    """Return the requirements of the core and of all extras but some; BasicSR is built."""
    lines = list(keyword("install_requires"))
    for extra, names in keyword("extras_require").items():
        lines += names if extra not in ("all", *without) else []
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
def test_what_make_installs_has_wheels_and_is_pinned(version, tmp_path):
    lines = [*direct("mmagic"), *(requires("basicsr") or ())]
    chosen = resolve(lines, version, tmp_path, "-c", str(REPOSITORY / "constraints.txt"))
    unpinned = set(chosen) - set(pins())
    assert [name for name in unpinned if not OF_TORCH.fullmatch(name)] == []


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.13", "3.14"])
def test_the_floors_have_wheels(version, tmp_path):
    lines = direct("mmagic", "dev")
    chosen = resolve(lines, version, tmp_path, "--resolution", "lowest-direct")
    floors = defaultdict(list)
    for line in map(Requirement, lines):
        if line.marker is None or line.marker.evaluate({"python_version": version}):
            lowest = [part.version for part in line.specifier if part.operator in (">=", "==")]
            floors[canonicalize_name(line.name)] += map(Version, lowest)
    missed = {name: chosen[name] for name in floors if chosen[name] != max(floors[name])}
    assert missed == {}, "the first versions with wheels, which are the floors for this Python"
