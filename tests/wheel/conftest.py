"""The wheel, built from the repository's files and installed into an environment over this one."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
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
    """Return `bin` of an environment with the wheel, which sees our other packages, too."""
    wheel, _ = build
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run(
        [python, "-c", ask], capture_output=True, text=True, check=True
    ).stdout.strip()
    below = sysconfig.get_path("purelib")
    Path(own, "below.pth").write_text(f"import site; site.addsitedir({below!r})\n")
    install = ["-m", "pip", "install", "-q", "--no-deps", "--ignore-installed", str(wheel)]
    subprocess.run([python, *install], check=True)
    return folder / "bin"


@pytest.fixture
def run(environment, tmp_path):
    """Run a command of the environment in an empty folder elsewhere; return its output."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def call(command: str, *words: object) -> str:
        line = [str(environment / command), *map(str, words)]
        done = subprocess.run(
            line, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (
            f"{' '.join(line)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout + done.stderr

    return call
