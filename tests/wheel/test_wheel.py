"""The commands from an installed wheel, in a folder outside the repository: `make test-wheel`.

Unless a test says otherwise, only the packages of the core are installed, without any extra.
"""

import csv
import math
import zipfile

import pytest
from wheel_files import tracked

from wxr_plugin.utils.extras import EXTRAS

pytestmark = pytest.mark.slow
EXTRA_MODULES = [name for modules in EXTRAS.values() for name in modules]
BENCHMARK = """
name: packaged
device: cpu
methods:
  input:
  tiny: {checkpoint: tiny}
sets:
  packaged: {set: packaged, task: weather, limit: 1}
metrics: [psnr, ssim, niqe, vlm_vis]
"""
DEMO = """
from pathlib import Path

from wxr_plugin.demo.run import Settings, write_options, write_photos
from wxr_plugin.wresvlm.checking import load_run

photos = Path("photos").resolve()
write_photos(photos)
load_run(write_options(Path("work").resolve(), photos, photos / "real", Settings()))
"""


@pytest.fixture
def photo(tmp_path):
    """Write a packaged photo, alone in a folder."""
    from wxr_plugin.data.images.io import write_image
    from wxr_plugin.data.packaged_photos import packaged_photo

    write_image(tmp_path / "photos" / "coffee.png", packaged_photo("coffee")[:96, :128])
    return tmp_path / "photos"


def test_the_wheel_holds_every_file_of_the_package(build):
    with zipfile.ZipFile(build[0]) as wheel:
        packed = [name for name in wheel.namelist() if name.startswith("wxr_plugin/")]
    assert sorted(packed) == tracked("wxr_plugin")


def test_setuptools_does_not_warn(build):
    assert [
        line for line in build[1].splitlines() if "Warning:" in line or "would be ignored" in line
    ] == []


def test_the_wheels_package_is_imported(run, environment):
    folder = (
        run("python", "-c", "import wxr_plugin; print(wxr_plugin.__file__)")
        .strip()
        .splitlines()[-1]
    )
    assert folder.startswith(str(environment.parent))


def test_photos_are_restored_and_rated(run, photo, tmp_path):
    run("wxr", "restore", photo, "-o", "restored", "--device", "cpu")
    assert (tmp_path / "restored" / "coffee.png").is_file()
    run("wxr", "label", "rate", photo, "-o", "labels.lmdb")
    assert (tmp_path / "labels.lmdb").is_dir()


def test_a_benchmark_has_a_report(run, tmp_path):
    (tmp_path / "benchmark.yml").write_text(BENCHMARK)
    run("wxr", "benchmark", "-opt", "benchmark.yml")
    (page,) = tmp_path.rglob("*.html")
    with (page.parent / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [float(row[metric]) for row in rows for metric in ("psnr", "ssim", "niqe", "vlm_vis")]
    assert len(scores) == 8 and all(map(math.isfinite, scores))
    page.unlink()
    run("wxr", "report", page.parent)
    assert "<style>" in page.read_text() and "<script>" in page.read_text()


def test_no_package_of_an_extra_is_installed(run):
    code = f"""
from importlib.util import find_spec
print([name for name in {EXTRA_MODULES} if find_spec(name)])
"""
    assert run("python", "-c", code).strip() == "[]"


def test_a_feature_names_its_extra(run, photo):
    said = run("wxr", "label", "rate", photo, "--model", "pyiqa:musiq", "-o", "labels.lmdb", code=2)
    assert 'pip install "wxr_plugin[metrics]"' in said and "Traceback" not in said


def test_the_demo_begins(run_whole, tmp_path):
    run_whole("python", "-c", DEMO)
    assert (tmp_path / "work" / "options" / "run.yml").is_file()


def test_a_network_of_ones_own_is_written(run, tmp_path):
    run("wxr", "new", "arch", "FrostNet", "--into", "my_networks")
    assert {"frostnet.yml", "test_frostnet.py"} <= {
        path.name for path in (tmp_path / "my_networks").iterdir()
    }
