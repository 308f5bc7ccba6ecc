"""The wheel, built from the repository's files and installed into an environment over this one."""

import os
import shutil
import subprocess
import sys
import sysconfig
from functools import partial
from pathlib import Path

import pytest
from core_packages import link, needed_by
from setup_file import keyword
from wheel_files import REPOSITORY, tracked


@pytest.fixture(scope="session")
def build(tmp_path_factory) -> tuple[Path, str]:
    """Build the wheel from a copy, without earlier builds; return it and the log."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, source / name)
    words = [
        "-m",
        "pip",
        "wheel",
        "-v",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(target),
        str(source),
    ]
    log = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert log.returncode == 0, log.stderr
    (wheel,) = target.glob("*.whl")
    return wheel, log.stdout + log.stderr


@pytest.fixture(scope="session")
def environment(build, tmp_path_factory) -> Path:
    """Return `bin` of an environment with the wheel and the core's packages, without extras."""
    folder = tmp_path_factory.mktemp("environment")
    modules = new_environment(folder)
    link(needed_by(*keyword("install_requires")), modules)
    return with_wheel(folder, build[0])


@pytest.fixture(scope="session")
def whole_environment(build, tmp_path_factory) -> Path:
    """Return `bin` of an environment with the wheel, which sees our other packages, too."""
    folder = tmp_path_factory.mktemp("whole")
    modules = new_environment(folder)
    below = sysconfig.get_path("purelib")
    (modules / "below.pth").write_text(f"import site; site.addsitedir({below!r})\n")
    return with_wheel(folder, build[0])


def new_environment(folder: Path) -> Path:
    """Make a virtual environment and return the folder of its modules."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run(
        [folder / "bin" / "python", "-c", ask], capture_output=True, text=True, check=True
    )
    return Path(answer.stdout.strip())


def with_wheel(folder: Path, wheel: Path) -> Path:
    """Install the wheel into an environment, and return the environment's `bin`."""
    install = ["-m", "pip", "install", "-q", "--no-deps", "--ignore-installed", str(wheel)]
    subprocess.run([folder / "bin" / "python", *install], check=True)
    return folder / "bin"


@pytest.fixture
def run(environment, tmp_path):
    """Run a command of the environment in an empty folder elsewhere; return its output."""
    return partial(call, environment, tmp_path)


@pytest.fixture
def run_whole(whole_environment, tmp_path):
    """Run a command as `run` does, with the extras' packages."""
    return partial(call, whole_environment, tmp_path)


def call(bin_folder: Path, folder: Path, command: str, *words: object, code: int = 0) -> str:
    """Run a command, which must end with `code`, and return its output."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    line = [str(bin_folder / command), *map(str, words)]
    done = subprocess.run(
        line, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, (
        f"{' '.join(line)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout + done.stderr
