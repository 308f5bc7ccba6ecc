"""The site: generated pages follow their sources, and every page is in the navigation."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
OPTIONS = sorted(REPOSITORY.glob("options/train/**/*.yml"))
FIGURES = re.compile(r"^\|.*\d\.\d.*\|", re.MULTILINE)
COMMAND = re.compile(r"python (-m )?\w|wxr [a-z]|make [a-z]|(benchmarks|tools)/\w+")
NOT_MEASURED = {
    "host.md: Fixes for BasicSR 1.4.2",
    "irsde.md: Networks",
    "raters.md: Short names on the command line",
}
"""Tables with decimals that are versions, settings of published files, and names."""
CONFIG = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(request) -> dict[str, str]:
    sys.path.insert(0, str(REPOSITORY / "tools"))
    request.addfinalizer(lambda: sys.path.remove(str(REPOSITORY / "tools")))
    import site_pages

    return site_pages.pages()


def _in_navigation() -> set[str]:
    # The tag of a Python name is mkdocs' own.
    text = re.sub(r"!!python/name:\S+", "", CONFIG)
    paths: set[str] = set()

    def walk(entry) -> None:
        if isinstance(entry, str):
            paths.add(entry)
        for value in entry.values() if isinstance(entry, dict) else ():
            walk(value)
        for value in entry if isinstance(entry, list) else ():
            walk(value)

    walk(yaml.safe_load(text)["nav"])
    return paths


def test_every_page_is_in_the_navigation(pages):
    written = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert _in_navigation() == written | set(pages)


def test_every_command_is_on_its_page(pages):
    from wxr_plugin.cli.main import build_parser

    (commands,) = (a.choices for a in build_parser()._actions if isinstance(a.choices, dict))
    for name in commands:
        assert f"## wxr {name}\n" in pages["reference/commands.md"]


def test_option_keys_have_their_notes(pages):
    text = pages["reference/options.md"]
    assert "| `crop_border` | integer | `0` | Pixels at each edge that no metric counts. |" in text
    assert "### NAFNet" in text and "`middle_blk_num`" in text


def test_every_checkpoint_and_set_is_listed(pages):
    from wxr_plugin.zoo.rows import rows

    for name in rows():
        assert f"| `{name}` |" in pages["reference/checkpoints.md"]
    sets = yaml.safe_load((REPOSITORY / "wxr_plugin/benchmark/sets.yml").read_text())
    for name, facts in sets.items():
        cells = (f"`{name}`", facts["title"], facts["task"], facts["count"], facts["licence"])
        assert f"| {' | '.join(map(str, cells))} |" in pages["reference/data_sets.md"]


def test_hardware_is_computed_for_every_training():
    with (DOCS / "hardware.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    files = {str(path.relative_to(REPOSITORY)) for path in OPTIONS}
    assert {row["option file"] for row in rows} == files
    for row in rows:
        options = yaml.safe_load((REPOSITORY / row["option file"]).read_text())
        train = options["datasets"]["train"]
        assert row["iterations"] == str(options["train"]["total_iter"])
        assert row["batch"] == str(train.get("batch_size_per_gpu", "-"))


@pytest.mark.parametrize("path", sorted((DOCS / "tutorials").glob("*.md")), ids=lambda p: p.stem)
def test_commands_of_tutorials_are_parsed(path):
    from wxr_plugin.cli.main import build_parser

    calls = re.findall(r"^ {8}wxr ([^#\n]+?) *(?:#.*)?$", path.read_text(), re.MULTILINE)
    assert calls or "wxr" not in path.read_text().replace("wxr_plugin", "")
    for call in calls:
        build_parser().parse_args(call.split())


def _sections_with_figures() -> Iterator[tuple[str, str]]:
    """Yield the name and text of every section with a table of figures, as `page: heading`."""
    for path in sorted(DOCS.rglob("*.md")):
        for section in re.split(r"^(?=#+ )", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            if len(FIGURES.findall(section)) > 1:
                heading = section.partition("\n")[0].lstrip("# ")
                yield f"{path.relative_to(DOCS)}: {heading}", section


def test_tables_of_figures_name_their_command():
    sections = dict(_sections_with_figures())
    assert len(sections) > 10
    silent = {name for name, text in sections.items() if not COMMAND.search(text)}
    assert silent == NOT_MEASURED


@pytest.mark.slow
def test_site_is_built_without_a_warning(tmp_path, monkeypatch):
    pytest.importorskip("mkdocs")
    # In place of the script that `make docs` fetches.
    drawing = tmp_path / "drawing.js"
    drawing.write_text("// draws diagrams")
    monkeypatch.setenv("WXR_MERMAID", str(drawing))
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(site)]
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    result = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **quiet}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    page = (site / "reference/python/index.html").read_text(encoding="utf-8")
    assert "wxr_plugin.api.load" in page
    assert not re.search(r'<(link|script)[^>]+(href|src)="https?:', page)
    assert "mermaid.min.js" not in page
    # The script of diagrams is loaded from the site, where a page has one.
    assert (site / "assets/mermaid.min.js").read_bytes() == drawing.read_bytes()
    drawn = (site / "which/index.html").read_text(encoding="utf-8")
    assert '<script src="../assets/mermaid.min.js"></script></head>' in drawn
