"""The page of the demo, from a run whose files are written here instead of trained."""

import json
import re
import shlex

import numpy as np
import pytest

from wxr_plugin.cli import main as cli
from wxr_plugin.data.images.io import write_image
from wxr_plugin.demo import page, run
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.rows import encode_png
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.models.base import train_log
from wxr_plugin.pseudo_labelling.gate_examples import GateDecision, GateExamples, Image
from wxr_plugin.wresvlm import records
from wxr_plugin.wresvlm.checking import load_run

KEY = "rain/a@0,0,96,96"
STEPS = ("input", "start", "supervised", "round_1")
STAGES = ("supervised", "round_1")
TITLES = ["input", "packaged", "supervised only", "semi-supervised", "truth", "pseudo-labels"]
PACKAGED = {"psnr, held out, default weather": {"rain": 20.0}}


def grey(value, side=96):
    return np.full((side, side, 3), value, np.uint8)


def decision(accepted, offered, label):
    """A decision between two grey images (value, rating); the truth is 100."""
    images = [
        Image(rating, source, encode_png(grey(value)))
        for (value, rating), source in ((offered, "teacher@10"), (label, "small"))
    ]
    return GateDecision(10, KEY if accepted else "rain/a@1,1,97,97", accepted, *images)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The run of the demo, and its call."""
    output = tmp_path_factory.mktemp("demo")
    photos = output / "photos"
    for part in ("clear", "real/rain", "truth/rain"):
        write_image(photos / part / "a.png", grey(100, 97))
    for style in run.STYLES:
        for kind in ("gt", "lq"):
            write_image(photos / "held_out" / style / kind / "rain" / "a.png", grey(100))
    file = run.write_options(output / "runs/packaged", photos, None, run.Settings(20, 20))
    settings = load_run(file)
    _write_trainings(settings)
    _write_photos(settings, output)
    return settings, page.Call(output, file, None)


def _write_trainings(settings):
    for stage in STAGES:
        folder = settings.experiment(stage)
        for iteration in (5, 10, 15, 20):
            loss = {"l_sup" if stage == "round_1" else "l_pix": 1 / iteration}
            gate = {"l_ps": 0.1, "rating": 3.5, "accepted": iteration, "compared": 2 * iteration}
            train_log.append(folder, iteration, loss | (gate if stage == "round_1" else {}))
        name = "held out, default weather"
        (folder / "validation").mkdir(parents=True)
        table = "iter,image,weather,psnr,psnr_input\n20,a,rain,21.5,18.0\n"
        (folder / "validation" / f"{name}.csv").write_text(table)
        records.write(settings.folder(stage), records.Record({}, "x", seconds=12.0))
    with LabelStore(settings.labels("round_1")) as store:
        store.put_pseudo(KEY, grey(90), 4.5, "teacher@10", 10)
    examples = GateExamples(4)
    examples.decisions[True] = {KEY: decision(True, (90, 4.5), (60, 3.25))}
    examples.decisions[False] = {"b": decision(False, (99, 2.0), (60, 3.125))}
    examples.write(settings.experiment("round_1"))


def _write_photos(settings, output):
    files, values = {}, {}
    for number, step in enumerate(STEPS):
        values[step] = {"VLM-Vis": 0.5 + number / 10, "PSNR": 20.0 + number}
        if step != "input":
            files[step] = str(output / f"{step}.png")
            write_image(files[step], grey(60 + number, 97))
    row = {"photo": "rain/a", "weather": "rain", "files": files, "values": values}
    folder = settings.folder("report")
    folder.mkdir()
    (folder / "photos.json").write_text(json.dumps([row]))


@pytest.fixture(scope="module")
def html(finished):
    settings, call = finished
    return page.html(page.read(settings, STAGES, PACKAGED), call)


def test_every_photo_has_all_networks_and_its_truth_in_one_viewer(html):
    data = json.loads(re.search(r'id="v-data">(.*?)</script>', html, re.S)[1])
    assert [title for _, title in data["sources"]] == TITLES
    (image,) = data["sets"][0]["images"]
    assert len(image["d"]) == 6 and all(uri.startswith("data:image/webp") for uri in image["d"])
    assert image["v"][3] == [0.8, 23.0]
    assert html.count('id="viewer"') == 1


def test_labels_are_shown_accepted_and_refused_with_both_ratings(html):
    section = html[html.index('id="labels"') : html.index('id="curves"')]
    accepted, refused = section.split("<h3>Accepted</h3>")[1].split("<h3>Refused</h3>")
    assert "4.500 of 5, teacher@10" in accepted and "3.250 of 5, small" in accepted
    assert "2.000 of 5, teacher@10" in refused and "3.125 of 5, small" in refused
    assert "label before" in accepted and "label that it lost to" in refused
    for outcome in (accepted, refused):
        assert outcome.count("<img") == 4 and outcome.count("alt=") == 4
    # Of both, the accepted one alone is nearer to the truth than the label.
    assert "higher PSNR in 1 of 2 (50%)" in section


def test_loss_rating_and_gate_are_drawn_over_the_iterations(html):
    section = html[html.index('id="curves"') : html.index('id="scores"')]
    labels = re.findall(r'role="img" aria-label="(.*?) over iterations', section)
    assert labels == [
        "loss on pairs",
        "losses on real photos",
        "mean rating of pseudo-labels",
        "accepted candidates in %",
    ]
    assert section.count("<polyline") == 5
    assert "semi-supervised: 50 at iteration 5, 50 at 20" in section


def test_the_result_compares_with_both_networks(html, finished, capsys):
    results = page.read(finished[0], STAGES, PACKAGED)
    assert page.verdicts(results) == [
        "VLM-Vis, unlabelled photos: semi-supervised +0.200 against packaged, +0.100 against "
        "supervised only.",
        "PSNR, unlabelled photos: semi-supervised +2.000 against packaged, +1.000 against "
        "supervised only.",
        "PSNR, default weather: semi-supervised +1.500 against packaged, +0.000 against "
        "supervised only.",
    ]
    page.print_result(results)
    text = capsys.readouterr().out
    assert all(line in text for line in page.verdicts(results))
    assert re.search(r"packaged +0\.600 +21\.000 +20\.000", text)
    assert "supervised 12 s, round_1 12 s" in text
    assert "synthetic" in html


def test_nothing_is_asked_of_other_files_and_keys_reach_everything(html):
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", html.split("<pre")[0])
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    for anchor in re.findall(r'<a href="#(.*?)"', html):
        assert f'id="{anchor}"' in html
    assert '<div id="v-stage" class="stage" tabindex="0"' in html


def test_every_command_of_the_page_is_understood(finished):
    for _, command in page.commands(finished[1]):
        words = shlex.split(command)
        assert words[0] == "wxr"
        assert callable(cli.build_parser().parse_args(words[1:]).func)


def test_a_page_of_own_photos_says_that_their_truth_is_not_known(finished, tmp_path):
    settings, call = finished
    own = page.html(page.read(settings, STAGES, {}), call._replace(real=tmp_path / "my photos"))
    assert page.OWN in own and page.SYNTHETIC not in own
    assert f"--real &#x27;{tmp_path}/my photos&#x27;" in own


@pytest.mark.parametrize("content", [None, "[{"])
def test_damaged_figures_are_one_line(finished, tmp_path, monkeypatch, content):
    settings, _ = finished
    monkeypatch.setattr(type(settings), "folder", lambda self, stage: tmp_path / stage)
    if content:
        (tmp_path / "report").mkdir()
        (tmp_path / "report/photos.json").write_text(content)
    with pytest.raises(WxrError, match=r"photos\.json: .*; remove the folder report") as error:
        page.read(settings, STAGES, {})
    assert len(str(error.value).splitlines()) == 1
