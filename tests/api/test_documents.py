"""The examples of docs/api.md, of the README and of the notebook run."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest

import wxr_plugin as wxr
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.packaged_photos import packaged_photo, weathered

REPOSITORY = Path(__file__).parents[2]
HEAVY = ("torch", "basicsr", "mmengine", "cv2", "transformers", "rich.progress")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with the photo of the examples."""
    photo = weathered(packaged_photo("chelsea")[:160, :200], "rain", 0.7, 0, "default")
    write_image(tmp_path / "rain.jpg", photo)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_of_the_interface_is_right(folder):
    page = REPOSITORY / "docs/api.md"
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert tried > 15 and not failed


def test_every_public_name_is_on_the_page():
    page = (REPOSITORY / "docs/api.md").read_text(encoding="utf-8")
    missing = [name for name in wxr.__all__ if f"`{name}" not in page and f"wxr.{name}" not in page]
    assert not missing
    assert set(wxr.__all__) <= set(dir(wxr))


def test_the_three_lines_of_the_readme_run(folder):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in readme.split("```python\n")[1:]]
    (lines,) = [block for block in blocks if "wxr.load" in block]
    exec(lines, {})
    assert (folder / "clear.png").is_file()


def test_the_notebook_runs_from_top_to_bottom(folder):
    file = REPOSITORY / "docs/tutorials/quickstart.ipynb"
    notebook = json.loads(file.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    namespace = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "clear the outputs"
            exec("".join(cell["source"]), namespace)
    assert (folder / "clear.png").is_file()


@pytest.mark.parametrize("code", ["import wxr_plugin", "import wxr_plugin.cli.main as m; m.main"])
def test_an_import_takes_nothing_heavy(code):
    check = f"import sys; {code}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_help_takes_nothing_heavy():
    check = (
        "import sys; from wxr_plugin.cli.main import build_parser; build_parser().format_help(); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
