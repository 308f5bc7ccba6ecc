"""A folder `basicsr` in a project: detection, warnings and errors."""

import shutil
import subprocess
import sys
from pathlib import Path

import basicsr
import pytest

from wxr_plugin.utils import vendored

INSTALLED = Path(basicsr.__file__).resolve().parent


def write_copy(root: Path, package: bool) -> Path:
    """Write a folder `basicsr` with one module, and with an __init__.py if it is a `package`."""
    folder = root / "basicsr"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "image_restoration_model.py").write_text("import their_own_extension\n")
    if package:
        (folder / "__init__.py").write_text("")
    return folder.resolve()


def run(code: str, root: Path) -> subprocess.CompletedProcess:
    """Run `code` in a fresh interpreter in the project's root."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=400
    )


def test_nothing_is_logged_without_a_copy():
    assert vendored.imported_folder() == vendored.installed_folder() == INSTALLED
    assert vendored.imported_copy() is None and vendored.unused_copies() == []


def test_without_basicsr_the_import_names_the_commands_that_install_it(tmp_path):
    code = "import sys; sys.modules['basicsr'] = None; import wxr_plugin"
    done = run(code, tmp_path)
    lines = [line.strip() for line in done.stderr.strip().splitlines()]
    assert done.returncode == 1
    assert lines[-3].endswith("installs it:") and lines[-2:] == list(vendored.INSTALL)


def test_a_copy_without_init_is_named(tmp_path, monkeypatch, caplog):
    copy = write_copy(tmp_path, package=False)
    monkeypatch.chdir(tmp_path)
    with caplog.at_level("WARNING", "basicsr"):
        vendored.warn_of_unused()
    assert (
        f"{copy} is not used: basicsr is the installed 1.4.2" in caplog.text
        and "docs/host.md" in caplog.text
    )
    monkeypatch.setenv("RANK", "1")
    caplog.clear()
    vendored.warn_of_unused()
    assert not caplog.text, "rank 0 has logged it"


def test_an_empty_folder_is_ignored(tmp_path, monkeypatch):
    (tmp_path / "basicsr").mkdir()
    monkeypatch.chdir(tmp_path)
    assert vendored.unused_copies() == []


def test_an_error_of_the_installed_package_is_unchanged():
    with pytest.raises(KeyError, match="theirs"), vendored.explained():
        raise KeyError("theirs")


@pytest.mark.slow
def test_a_copy_that_precedes_the_installed_package_is_named_in_one_line(tmp_path):
    copy = write_copy(tmp_path, package=True)
    ended = run("import wxr_plugin", tmp_path)
    last = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1 and f"VendoredError: {copy} is imported as basicsr" in last
    assert "ModuleNotFoundError: No module named 'basicsr." in last and "docs/host.md" in last
    assert "During handling" not in ended.stderr and "direct cause" not in ended.stderr


@pytest.mark.slow
def test_a_copy_that_is_complete_works_with_a_warning(tmp_path):
    copy = tmp_path.resolve() / "basicsr"
    shutil.copytree(INSTALLED, copy, ignore=shutil.ignore_patterns("__pycache__"))
    ended = run("import wxr_plugin, basicsr; print(basicsr.__file__)", tmp_path)
    assert ended.returncode == 0 and ended.stdout.strip() == str(copy / "__init__.py"), ended.stderr
    assert ended.stderr.count(f"{copy} is imported as basicsr; it is a copy in a project") == 1


@pytest.mark.slow
def test_the_command_works_next_to_a_copy_and_names_it(tmp_path):
    copy = write_copy(tmp_path, package=True)
    code = (
        "import sys; sys.path.remove(''); "
        "from wxr_plugin.cli.main import main; main(['schema', '--path'])"
    )
    ended = run(code, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count(f"{copy} is not used: basicsr is the installed 1.4.2") == 1
