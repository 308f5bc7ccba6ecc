"""The Containerfile: what it copies is what `make install` needs, and its form is sound."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
BUILT_FROM = {"Makefile", "packaging", "wxr_plugin"}
"""Files of `make install` that are not prerequisites of its target, or lie in these folders."""


def instructions() -> list[tuple[str, str]]:
    """Return the (instruction, arguments) of the Containerfile in order."""
    text = (REPOSITORY / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    parts = [line.split(maxsplit=1) for line in whole.splitlines()]
    return [(name, " ".join(arguments.split())) for name, arguments in parts]


def arguments(name: str) -> list[str]:
    return [words for instruction, words in instructions() if instruction == name]


def copied() -> set[str]:
    """Return the files and folders of the repository that the image has."""
    return {source for line in arguments("COPY") for source in line.split()[:-1]}


def installing() -> list[str]:
    """Return the commands of RUN that concern Python packages."""
    return [line for line in arguments("RUN") if re.search(r"\b(pip|uv|make)\b", line)]


def prerequisites() -> set[str]:
    """Return the files that the Makefile's target of `install` is made from."""
    makefile = (REPOSITORY / "Makefile").read_text()
    assert re.search(r"^install: \$\(READY\)", makefile, re.M)
    line = re.search(r"^\$\(READY\): (.*)$", makefile, re.M)[1]
    return set(line.replace("$(CONSTRAINTS)", "constraints.txt").split())


def test_the_only_installing_step_is_that_of_the_makefile():
    *system, last = installing()
    assert last.split()[:2] == ["make", "install"]
    assert all(line.startswith("apt-get update && ") for line in system)


def test_variables_of_make_exist():
    makefile = (REPOSITORY / "Makefile").read_text()
    variables = [word.partition("=")[0] for word in installing()[-1].split()[2:]]
    assert all(re.search(rf"^{name} \?=", makefile, re.M) for name in variables)


def test_all_that_the_install_reads_is_copied_before_it():
    names = [name for name, _ in instructions()]
    install = max(
        number
        for number, name in enumerate(names)
        if name == "RUN" and "make install" in instructions()[number][1]
    )
    assert max(number for number, name in enumerate(names) if name == "COPY") < install
    sources = {source.split("/")[0] for source in prerequisites()}
    assert sources | BUILT_FROM | {"README.md"} <= copied()  # setup.py reads the README
    assert [source for source in copied() if not (REPOSITORY / source).exists()] == []


def test_the_bases_are_one_for_cpus_and_one_for_cuda():
    stages = [re.fullmatch(r"(\S+) AS (\w+)", line) for line in arguments("FROM")]
    bases = {stage[2]: stage[1] for stage in stages}
    assert set(bases) == {"cpu", "cuda", "wxr"}
    assert bases["wxr"] == "${DEVICE}" and arguments("ARG") == ["DEVICE=cpu"]
    tags = [bases[name].rpartition(":")[2] for name in ("cpu", "cuda")]
    assert all(re.match(r"\d", tag) for tag in tags), "a tag with a version can be built again"


def test_the_image_runs_the_command_as_an_ordinary_user():
    assert arguments("ENTRYPOINT") == ['["wxr"]'] and arguments("USER") == ["10001"]
    venv = re.search(r"VENV=(\S+)", installing()[-1])[1]
    assert f"PATH={venv}/bin:$PATH" in arguments("ENV")


def test_lists_of_packages_are_removed():
    systems = [line for line in arguments("RUN") if "apt-get" in line]
    assert systems and all(
        "--no-install-recommends" in line and line.endswith("rm -rf /var/lib/apt/lists/*")
        for line in systems
    )


def test_hadolint_has_no_objection():
    folders = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    program = shutil.which("hadolint", path=folders)
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [program, "Containerfile"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
