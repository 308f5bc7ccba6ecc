"""Charts, picks and figures of a report."""

import json
import re

import pytest
import report_toys as toys
from PIL import Image

from wxr_plugin.benchmark.report.charts import picks_table, quality_charts
from wxr_plugin.benchmark.report.images import Shown, viewer_data
from wxr_plugin.benchmark.report.strip import panels
from wxr_plugin.benchmark.results import Results
from wxr_plugin.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toys.write_benchmark(tmp_path_factory.mktemp("charts"))


@pytest.fixture(scope="module")
def results(folder):
    return Results.read(folder)


def test_each_measured_metric_has_bars(results):
    titles = re.findall(r'aria-label="([^"]*)"', "".join(quality_charts(results)))
    for metric in ("PSNR (RGB)", "LPIPS", "MUSIQ"):
        assert any(title.startswith(metric) for title in titles)
    assert any("lower is better" in title for title in titles if title.startswith("LPIPS"))


def test_picks_are_shares_of_the_photos_that_all_methods_have(results):
    table = picks_table(results)
    assert [heading.title for heading in table.columns] == ["MUSIQ"]
    shares = [int(cells[0].text.rstrip("%")) for _, cells in table.rows]
    assert len(shares) == len(results.methods) and 99 <= sum(shares) <= 101


def test_pick_is_the_best_value_of_each_photo(results):
    wins = dict.fromkeys(results.methods, 0)
    photos = {(row.set, row.image) for row in results.rows}
    for photo in photos:
        rows = [row for row in results.rows if (row.set, row.image) == photo]
        scores = {row.method: row.scores["musiq"] for row in rows}
        if len(scores) == len(wins) and all(value == value for value in scores.values()):
            wins[max(scores, key=scores.get)] += 1
    total = sum(wins.values())
    expected = [f"{count / total:.0%}" for count in wins.values()]
    assert [cells[0].text for _, cells in picks_table(results).rows] == expected


def test_viewer_marks_picks_of_metrics_without_ground_truth(results, folder):
    data = viewer_data(results, Shown(0, 64, folder))
    assert [data["metrics"][place][0] for place in data["picks"]] == ["MUSIQ"]


def test_strip_has_input_methods_and_ground_truth(results):
    row = next(row for row in results.rows if row.set == "rain100h" and row.restored)
    drawn = panels(results, f"rain100h/{row.image}")
    assert drawn[0].title == "Input" and drawn[-1].title == "Ground truth"
    assert any("PSNR" in panel.caption for panel in drawn)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_report_draws_a_figure(results, folder, tmp_path, suffix, capsys):
    image = results.of("promptir", "rain100h")[0].image
    output = tmp_path / f"rows{suffix}"
    call = ["report", str(folder), "--photo", f"rain100h/{image}", "--figure", str(output)]
    assert main([*call, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figure"] == str(output)
    assert output.stat().st_size > 1000
    if suffix == ".png":
        assert Image.open(output).width > 300


@pytest.mark.parametrize(
    ("photo", "figure", "message"),
    [
        ("nope/a.png", "a.png", "there is no set nope"),
        ("rain100h/nope.png", "a.png", "has no such image"),
        ("rain100h/nope.png", "a.gif", "name a file of"),
        ("rain100h/a.png", None, "give both"),
    ],
)
def test_wrong_figures(folder, tmp_path, capsys, photo, figure, message):
    options = ["--figure", str(tmp_path / figure)] if figure else []
    assert main(["report", str(folder), "--photo", photo, *options]) == 2
    assert message in capsys.readouterr().err
