"""The page in a browser, at the widths of a desk and of a phone; and the command."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest

from wxr_plugin.app import restoring
from wxr_plugin.app.folders import Folders
from wxr_plugin.app.study_tab import answer_folder
from wxr_plugin.cli.main import main
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.store import LabelStore, content_hash

pytest.importorskip("gradio")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
OLD, REFUSED, NEW = (np.full((48, 64, 3), level, np.uint8) for level in (50, 20, 90))
"""Images of a label store."""
SIZES = {"desk": {"width": 1280, "height": 1000}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    for name in ("ours", "theirs"):
        for photo in ("p1", "p2"):
            write_image(folder / name / f"{photo}.png", rng.integers(0, 255, (48, 64, 3), np.uint8))
    return folder


def test_results_facts_and_archive(root):
    job = restoring.Job(["tiny"], 0, "fp32", "cpu")
    (result,) = restoring.restore([root / "ours/p1.png"], job)
    assert result.after.is_file() and result.label == "p1.png by tiny"
    assert [row[1] for row in result.facts] == ["input", "tiny"]
    assert all(1 <= float(row[2]) <= 5 and row[3] and row[4] for row in result.facts)
    with zipfile.ZipFile(restoring.zipped([result])) as archive:
        assert archive.namelist() == ["tiny/p1.png"]


def test_facts_of_the_input_are_there_for_every_restorer(root):
    job = restoring.Job(["tiny", "small"], 0, "fp32", "cpu")
    results = restoring.restore([root / "ours/p1.png", root / "ours/p2.png"], job)
    versions = [[row[1] for row in result.facts] for result in results]
    assert versions == [["input", "tiny"], ["input", "small"]] * 2
    first, second, third, _ = (result.facts[0] for result in results)
    assert first == second and first[0] == "p1.png" and third[0] == "p2.png"


def test_packaged_restorers_come_first_and_the_rest_can_be_fetched():
    assert restoring.choices()[:2] == ["small", "tiny"]
    assert "restormer-derain" in restoring.missing()
    assert "Apache-2.0" in restoring.licence("maxim-rain13k")


def test_photos_of_equal_names_keep_a_result_each(tmp_path):
    photos = [tmp_path / "a" / "p.png", tmp_path / "b" / "p.png", tmp_path / "b" / "p.jpg"]
    for photo in photos:
        write_image(photo, np.zeros((48, 64, 3), np.uint8))
    results = restoring.restore(photos, restoring.Job(["tiny"], 0, "fp32", "cpu"))
    assert len({result.label for result in results}) == 3
    with zipfile.ZipFile(restoring.zipped(results)) as archive:
        assert archive.namelist() == ["tiny/p.png", "tiny/p-2.png", "tiny/p-3.png"]


def test_answers_are_not_written_through_a_link_that_leads_out(tmp_path):
    (tmp_path / "open" / "study").mkdir(parents=True)
    (tmp_path / "secret").write_text("")
    folders = Folders([tmp_path / "open"])
    study = tmp_path / "open" / "study"
    assert answer_folder(folders, str(study)) == study.resolve()
    (study / "answers.jsonl").symlink_to(tmp_path / "secret")
    with pytest.raises(WxrError, match="not below an allowed folder"):
        answer_folder(folders, str(study))


@pytest.mark.parametrize(
    ("photos", "names", "message"),
    [([], ["tiny"], "at least one photo"), (["p1.png"], [], "at least one restorer")],
)
def test_wrong_jobs(photos, names, message):
    with pytest.raises(WxrError, match=message):
        restoring.restore([Path(photo) for photo in photos], restoring.Job(names, 0, "fp32", None))


def test_licence_has_to_be_accepted():
    with pytest.raises(WxrError, match="accept the licence of maxim-rain13k first"):
        restoring.fetch("maxim-rain13k", False)


def test_command_checks_folder_and_port(root, capsys):
    assert main(["app", "--folder", str(root), "--port", str(_free_port()), "--dry-run"]) == 0
    assert "127.0.0.1" in capsys.readouterr().out
    assert main(["app", "--folder", "nope", "--dry-run"]) == 2
    assert "no such folder" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "--port", str(port)]) == 2
    assert "--port names another" in capsys.readouterr().err


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen, seconds: float = 300) -> None:
    """Return when `url` answers; fail if the process ends or `seconds` pass before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5)
            return
        assert process.poll() is None
        time.sleep(0.2)
    pytest.fail(f"{url} did not answer within {seconds:.0f} s")


@pytest.fixture(scope="module")
def address(root):
    """Serve the page in a process of its own; yield its address."""
    port = _free_port()
    command = [sys.executable, "-m", "wxr_plugin", "app", "--folder", str(root)]
    command += ["--port", str(port), "--device", "cpu", "--upload-mb", "1"]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no chromium is installed (apt-get install chromium)")
    with playwright.sync_playwright() as tools:
        chromium = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=list(SIZES))
def page(request, browser, address):
    page = browser.new_page(viewport=SIZES[request.param])
    page.set_default_timeout(40_000)
    page.hosts = set()
    page.on("request", lambda call: page.hosts.add(call.url.split("/")[2]))
    page.goto(address)
    page.wait_for_selector("#restore")
    yield page
    # Nothing is fetched from elsewhere, and nothing is wider than the screen.
    assert page.hosts <= {address.split("/")[2]}
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    page.close()


@pytest.mark.slow
def test_photo_is_restored_and_compared(page, root):
    page.set_input_files("input[type=file]", [str(root / "ours/p1.png")])
    page.wait_for_selector("a[href*='p1.png']")
    page.click("#restore")
    page.wait_for_selector("a[href*='restored.zip']")
    assert page.get_by_label("Result").input_value() == "p1.png by small"


@pytest.mark.slow
def test_folder_outside_is_refused_in_one_line(page):
    page.get_by_role("tab", name="Rate").click()
    page.get_by_label("Folder of photos").fill("/etc")
    page.click("#rate")
    page.get_by_text("is not below an allowed folder").wait_for()
    assert "Traceback" not in page.content()


@pytest.mark.slow
def test_study_is_blind_and_works_by_keyboard(page, root, tmp_path_factory):
    width = page.viewport_size["width"]
    page.get_by_role("tab", name="Study").click()
    page.get_by_label("Folders of results").fill(f"ours={root}/ours\ntheirs={root}/theirs")
    page.get_by_label("Folder for the answers").fill(f"{root}/study{width}")
    page.locator("label:has-text('Your name')").last.locator("input, textarea").fill("me")
    page.click("#study-start")
    page.get_by_text("Question 1 of 2").wait_for()
    # The address of a picture must not name its method.
    sources = page.eval_on_selector_all("#left-image img", "all => all.map(i => i.src)")
    assert sources and not any(name in source for source in sources for name in ("ours", "theirs"))
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowLeft")
    page.get_by_text("Question 2 of 2").wait_for()
    page.keyboard.press("Space")
    page.get_by_text("All 2 questions are answered").wait_for()
    answers = (root / f"study{width}" / "answers.jsonl").read_text().splitlines()
    assert len(answers) == 2 and '"choice":"left"' in answers[0]
    page.click("#study-scores")
    page.wait_for_selector("a[href*='scores.csv']")


def label_store(path: Path) -> Path:
    """Write a store with one label in force, an accepted and a refused candidate, and a second."""
    rater = {"model": "tiny"}
    with LabelStore(path) as labels:
        for image, rating in ((OLD, 3.6), (REFUSED, 2.5)):
            labels.put_rating("street", content_hash(image), rater, rating, (1, 2, 3, 4, 5))
        digest = labels.put_provenance(rater)
        labels.put_pseudo("street", OLD, 3.6, "small", 0, digest)
        labels.put_pseudo("lake", OLD, 4.0, "input", 0, digest)
    return path


def wait_for_cell(page, table: str, text: str) -> None:
    """Wait until a cell of a table shows a text; gradio measures tables in hidden copies."""
    page.locator(f"#{table}").get_by_text(text).locator("visible=true").first.wait_for()


@pytest.mark.slow
def test_label_is_shown_and_corrected_by_keyboard(page, root):
    store = label_store(root / f"rain{page.viewport_size['width']}.labels.lmdb")
    better = store.with_suffix(".png")
    write_image(better, NEW)
    page.get_by_role("tab", name="Labels").click()
    page.get_by_label("Label store").fill(str(store))
    page.keyboard.press("Enter")
    # The first label of the store is that of the lake; one arrow leads to the street.
    wait_for_cell(page, "provenance", "tiny")
    photo = page.get_by_label("Photo", exact=True)
    assert photo.input_value() == "lake"
    photo.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    for state in ("label in force", "refused"):
        wait_for_cell(page, "votes", state)
    page.get_by_text("small, rated 3.60, iteration 0").first.wait_for()
    page.get_by_role("button", name="Correct this label").press("Enter")
    page.set_input_files("#better input[type=file]", str(better))
    page.wait_for_selector("#better img")
    page.locator("#corrector").locator("input, textarea").fill("Ada")
    page.locator("#correct").press("Enter")
    page.get_by_text("street is corrected").wait_for()
    wait_for_cell(page, "provenance", "Ada")
    with LabelStore(store, readonly=True) as labels:
        label = labels.get_pseudo("street")
    assert (label.source, label.rating) == ("person", 5.0)
    assert np.array_equal(label.image, NEW)


@pytest.mark.slow
def test_label_store_outside_is_refused_in_one_line(page):
    page.get_by_role("tab", name="Labels").click()
    page.get_by_label("Label store").fill("/etc")
    page.click("#open-store")
    page.get_by_text("is not below an allowed folder").wait_for()
    assert "Traceback" not in page.content()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../etc/passwd", "/proc/self/environ"])
def test_files_outside_are_not_served(address, path):
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{address}/gradio_api/file={path}", timeout=30)
