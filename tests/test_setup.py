"""Versions that setup.py requires and constraints.txt installs."""

import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setup_file import REPOSITORY, keyword, pins

REQUIREMENTS = [
    *keyword("install_requires"),
    *(line for lines in keyword("extras_require").values() for line in lines),
]
REQUIREMENTS = [line for line in REQUIREMENTS if not line.startswith("wxr_plugin[")]


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_a_direct_dependency_has_a_floor_and_a_pin_that_satisfies_it(line):
    requirement = Requirement(line)
    assert {part.operator for part in requirement.specifier} & {">=", "=="}, "give it a floor"
    pin = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin, prereleases=True)


def test_packages_of_torch_and_pip_are_not_pinned():
    assert not [
        name for name in pins() if re.match(r"(nvidia-|cuda-)|(pip|triton|wxr-plugin)$", name)
    ]


def test_a_lock_has_the_versions_of_the_environment(tmp_path):
    script = REPOSITORY / "tools" / "lock.py"
    subprocess.run(
        [sys.executable, str(script), str(tmp_path / "pins.txt")], check=True, cwd=tmp_path
    )
    lines = (tmp_path / "pins.txt").read_text().splitlines()
    versions = [line.split("==") for line in lines if not line.startswith("#")]
    names = [name for name, _ in versions]
    assert names == sorted(set(names)) and {"torch", "opencv-python", "pyiqa"} <= set(names)
    assert "wxr-plugin" not in names and not [version for _, version in versions if "+" in version]
