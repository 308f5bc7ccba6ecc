"""packaging/py313: basicsr's version code finds its variables again on Python 3.13 and later."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wxr_plugin.utils.vendored import INSTALL

REPOSITORY = Path(__file__).parents[1]
# As basicsr's setup.py reads its version.
VERSION_CODE = """
def version():
    exec(compile("number = '1.4.2'", "version.py", "exec"))
    return locals()["number"]
"""
OTHER_CODE = """
names = {}
exec("answer = 6 * 7", names)
assert names["answer"] == 42 and "answer" not in globals()
inner = {}
exec("answer = 43", {}, inner)
assert inner == {"answer": 43}
exec("at_the_top = 1")
assert at_the_top == 1
def closure(cell):
    exec("assert cell == 5", None, {"cell": 5})
    return lambda: cell
assert closure(7)() == 7
"""


def python(code: str, *options: str, shim: bool = True) -> subprocess.CompletedProcess:
    environment = dict(os.environ)
    if shim:
        environment["PYTHONPATH"] = str(REPOSITORY / "packaging" / "py313")
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_a_functions_exec_writes_to_its_variables():
    done = python(f"{VERSION_CODE}\nprint(version())")
    assert done.stdout.strip() == "1.4.2", done.stderr


def test_other_uses_of_exec_are_unchanged():
    done = python(OTHER_CODE)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.version_info < (3, 13), reason="exec writes to locals() before 3.13")
def test_without_the_file_the_version_is_missing():
    done = python(f"{VERSION_CODE}\nprint(version())", "-S", shim=False)
    assert "KeyError: 'number'" in done.stderr


def test_the_page_and_the_makefile_have_the_commands_of_the_import_error():
    page = (REPOSITORY / "docs/install.md").read_text()
    assert [command for command in INSTALL if f"    {command}\n" not in page] == []
    _, _, arguments = INSTALL[0].partition(" pip install ")
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "PYTHONPATH=$$PWD/packaging/py313 $(BIN)/python -m pip install -q " in makefile
    assert f"-q {arguments}\n" in makefile
