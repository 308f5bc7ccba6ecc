"""The page of a report, its viewer's data and its charts."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import report_toys as toys
from PIL import Image

from wxr_plugin.benchmark.report import scatter as report_scatter
from wxr_plugin.benchmark.report import write as report_module
from wxr_plugin.benchmark.report.images import Shown, counts, viewer_data
from wxr_plugin.benchmark.report.scatter import Point, linear_axis, log_axis, scatter
from wxr_plugin.benchmark.report.viewer import SCRIPT, script_json
from wxr_plugin.benchmark.report.write import write_report
from wxr_plugin.benchmark.results import Results
from wxr_plugin.cli import main as cli
from wxr_plugin.cli import report as report_command
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import WxrError

VOID = {"meta", "input", "img", "br", "hr", "link"}


class Page(HTMLParser):
    """Checks that elements close in order, and gathers ids, addresses and labels."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.fors, self.tags = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.addresses += [
            attributes[key] for key in ("src", "href", "data", "action") if key in attributes
        ]
        if tag not in VOID and not (
            tag in ("line", "path", "circle") and self.get_starttag_text().endswith("/>")
        ):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("line", "path", "circle"):
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toys.write_benchmark(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def text(folder):
    return write_report(folder, max_images=5).read_text(encoding="utf-8")


def data_of(text):
    return json.loads(
        re.search(r'<script type="application/json" id="v-data">(.*?)</script>', text, re.S)[1]
    )


def test_three_files_are_written(folder, text, tmp_path):
    assert all((folder / f"report.{kind}").stat().st_size for kind in ("html", "md", "tex"))
    assert write_report(str(folder), str(tmp_path / "new")) == tmp_path / "new/report.html"
    assert (tmp_path / "new/report.tex").read_text() == (folder / "report.tex").read_text()


def test_the_page_needs_nothing_but_itself(text):
    page = Page(text)
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert not re.search(
        r"https?:|@import|url\((?!#)|<link|<iframe", re.sub(r'"(d|f)":\[.*?\]', "", text)
    )
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    names = set(re.findall(r'\bat\("([\w-]+)"\)', SCRIPT.read_text(encoding="utf-8")))
    assert {f"v-{name}" for name in names} <= set(page.ids)


def test_every_control_and_table_has_a_label(text):
    page = Page(text)
    labelled = re.findall(r'<label[^>]*>[^<]+<(?:select|input) id="([\w-]+)"', text)
    assert labelled == ["v-set", "v-image", "v-order", "v-left", "v-right", "v-line"]
    bare = [
        attributes
        for tag, attributes in page.tags
        if tag == "button" and "aria-label" not in attributes
    ]
    assert [attributes["id"] for attributes in bare] == ["v-whole"]  # which has words in it
    regions = [attributes for _, attributes in page.tags if attributes.get("role") == "region"]
    assert regions and all(
        attributes["aria-label"] and attributes["tabindex"] == "0" for attributes in regions
    )
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")


def test_names_cannot_become_html(text):
    assert "My <b>net" not in text and "toy <bench" not in text
    assert "<title>toy &lt;benchmark&gt;</title>" in text
    assert "My &lt;b&gt;net&lt;/b&gt; &amp; co_1" in text
    assert script_json({"a": "</script><!--"}) == '{"a":"\\u003c/script>\\u003c!--"}'


def test_best_published_and_difference_are_marked(text):
    assert "<td><b>42.00</b></td>" in text
    small = (
        r'<small title="published: PromptIR, MUSIQ on RTTS, WResVLM">53\.88 <i>−3\.88</i></small>'
    )
    assert re.search(rf"<td><u>50\.00</u>{small}</td>", text)
    assert "RTTS: 2 images here, 4,322 there" in text


def test_the_page_tells_what_it_carries_and_what_it_links(text):
    data = data_of(text)
    assert counts(data) == (5, 4)
    assert (
        "This page carries 5 photos, at most 1024 pixels long" in text
        and "The other 4 are read from the files" in text
    )
    assert [sum(any(image["d"]) for image in block["images"]) for block in data["sets"]] == [
        2,
        1,
        1,
        1,
    ]


def test_embedded_photos_are_those_of_the_methods(folder, text):
    data = data_of(text)
    assert [key for key, _ in data["sources"]] == ["input", "gt", "promptir", "mine"]
    image = next(image for image in data["sets"][0]["images"] if any(image["d"]))
    shown = [decoded(uri) for uri in image["d"]]
    assert {array.shape for array in shown} == {(48, 64, 3)} and image["s"] == [64, 48]
    scene = toys.photo(int(image["n"]) - 9).astype(float)
    assert np.abs(shown[1] - scene).mean() < 6
    assert np.abs(shown[2] - 0.9 * scene).mean() < 6
    assert image["v"][1] is None and image["v"][2][0] == pytest.approx(
        25 + 0.01 * (int(image["n"]) - 9)
    )


def decoded(uri):
    assert uri.startswith("data:image/webp;base64,")
    return np.asarray(
        Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")
    ).astype(float)


def test_linked_photos_lie_where_the_page_says(folder, text):
    for block in data_of(text)["sets"]:
        for image in block["images"]:
            for base, rest in zip(block["base"], image["f"]):
                assert rest is None or (folder / (base + rest)).is_file()
    rtts = data_of(text)["sets"][2]
    assert [image["f"][1] for image in rtts["images"]] == [None, None]


def test_links_are_relative_to_the_pages_own_folder(folder, tmp_path):
    data = viewer_data(Results.read(folder), Shown(0, 64, tmp_path / "deep/er"))
    (tmp_path / "deep/er").mkdir(parents=True)
    first = data["sets"][0]
    where = tmp_path / "deep/er" / (first["base"][2] + first["images"][0]["f"][2])
    assert where.resolve() == (folder / "images/promptir/rain100h/9.png").resolve()
    assert counts(data) == (0, 9)


def test_odd_names_survive_in_links_and_in_the_page(tmp_path):
    folder = toys.write_benchmark(tmp_path, sets={"rtts": toys.SETS["rtts"]})
    rows = toys.read_rows(folder)
    for row in rows:
        if row["image"] == "9":
            row["image"], row["restored"] = (
                'a/</script> "50%#?.jpg',
                row["restored"].replace("9.png", "50%#? é.png"),
            )
            write_image(folder / row["restored"], toys.photo(0))
    toys.write_rows(folder, rows)
    text = write_report(folder, max_images=0).read_text(encoding="utf-8")
    Page(text)
    images = data_of(text)["sets"][0]
    assert [image["n"] for image in images["images"]] == ["10", 'a/</script> "50%#?.jpg']
    assert images["images"][1]["f"][1].endswith("50%25%23%3F%20%C3%A9.png")


def test_large_photos_are_made_smaller(tmp_path):
    folder = toys.write_benchmark(tmp_path, sets={"rtts": toys.SETS["rtts"]})
    for row in toys.read_rows(folder):
        write_image(folder / row["restored"], toys.photo(1, 300, 400))
    data = viewer_data(Results.read(folder), Shown(9, 100, folder))
    assert {
        decoded(uri).shape for entry in data["sets"][0]["images"] for uri in entry["d"][1:]
    } == {(75, 100, 3)}


def test_a_photo_that_is_gone_is_left_out(tmp_path):
    folder = toys.write_benchmark(tmp_path)
    (folder / "images/mine/rtts/9.png").unlink()
    rows = toys.read_rows(folder)
    toys.write_rows(
        folder, [row | ({"restored": ""} if row["method"] == "promptir" else {}) for row in rows]
    )
    data = data_of(write_report(folder).read_text(encoding="utf-8"))
    image = data["sets"][2]["images"][0]
    assert [uri is None for uri in image["d"]] == [False, True, True, True]
    assert [rest is None for rest in image["f"]] == [False, True, True, False]


def test_errors_and_overlaps_are_shown(tmp_path):
    folder = toys.write_benchmark(tmp_path)
    assert "No image failed." in write_report(folder, max_images=0).read_text()
    rows = toys.read_rows(folder)
    rows[-1] |= {"error": "ran out of <memory>", "musiq": ""}
    toys.write_rows(folder, rows)
    (folder / "overlaps.csv").write_text(
        "set,image,which,file,training,kind,distance\nrtts,9,lq,a.png,seen.png,near,3\n"
    )
    text = write_report(folder, max_images=0).read_text()
    assert "<td>ran out of &lt;memory&gt;</td>" in text and "<td>seen.png</td>" in text
    assert "ran out of \\<memory\\>" in (folder / "report.md").read_text()


def test_what_was_not_looked_for_is_not_said_to_be_absent(tmp_path):
    folder = toys.write_benchmark(tmp_path, notes=["RTTS: 2 of 4,322 photos"])
    text = write_report(folder, max_images=0).read_text()
    assert "Not searched for" in text and "RTTS: 2 of 4,322 photos" in text
    toys.write_facts(folder, options={"overlaps": {"training": ["t"]}})
    assert "None were found." in write_report(folder, max_images=0).read_text()


def test_a_benchmark_that_has_only_begun_has_a_report(tmp_path):
    toys.write_facts(tmp_path)
    text = write_report(tmp_path).read_text()
    Page(text)
    assert data_of(text)["sets"] == [] and "No method was timed." in text


def test_charts_show_every_timed_method_and_the_input(folder):
    charts = list(report_scatter.scatters(Results.read(folder)))
    assert len(charts) == len(toys.METRICS)
    svg = ElementTree.fromstring(charts[0])
    words = [element.text for element in svg.iter("text")]
    assert "PSNR (RGB) (higher is better)" in words and "seconds per megapixel, log scale" in words
    assert "input" in words and {"1", "2"} <= set(words)
    assert "PromptIR: 25.01, 10 s per megapixel" in [element.text for element in svg.iter("title")]
    assert len(list(svg.iter("circle"))) == 2


def test_points_lie_where_their_figures_say():
    points = [Point(1, "a", 1.0, 20.0), Point(2, "b", 100.0, 30.0), Point(3, "c", 10.0, 25.0)]
    svg = ElementTree.fromstring(scatter(points, "PSNR"))
    (x1, y1), (x2, y2), (x3, y3) = [
        (float(element.get("cx")), float(element.get("cy"))) for element in svg.iter("circle")
    ]
    assert x1 < x3 < x2 and y2 < y3 < y1
    assert x3 - x1 == pytest.approx(x2 - x3, abs=0.2)  # logarithmic
    near = ElementTree.fromstring(
        scatter([Point(1, "a", 1.0, 2.0), Point(2, "b", 3.0, 2.0)], "PSNR")
    )
    assert "seconds per megapixel" in [element.text for element in near.iter("text")]


def test_numbers_do_not_cover_each_other():
    points = [Point(number, "m", 1.0 + 0.001 * number, 20.0) for number in range(1, 5)]
    svg = ElementTree.fromstring(scatter(points, "PSNR"))
    places = [
        (float(g.find("text").get("x")), float(g.find("text").get("y"))) for g in svg.iter("g")
    ]
    assert all(np.hypot(*np.subtract(a, b)) >= 8 for i, a in enumerate(places) for b in places[:i])


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (22.1, 24.5), (0.20, 0.22), (5, 5), (0, 0), (1e-4, 2e-4), (0, 38000), (-3, 3)],
)
def test_axes_have_a_few_round_ticks_and_hold_both_ends(low, high):
    axis = linear_axis(low, high)
    assert axis.low <= low and axis.high >= high and 3 <= len(axis.ticks) <= 10
    assert all(axis.low - 1e-9 <= value <= axis.high + 1e-9 for value, _ in axis.ticks)
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_log_axes_have_ticks_at_decades():
    assert [text for _, text in log_axis(0.05, 30).ticks] == [
        "0.05",
        "0.1",
        "0.2",
        "0.5",
        "1",
        "2",
        "5",
        "10",
        "20",
    ]
    assert [text for _, text in log_axis(0.001, 3000).ticks] == [
        "0.001",
        "0.01",
        "0.1",
        "1",
        "10",
        "100",
        "1000",
    ]


def test_the_command_writes_and_tells(folder, tmp_path, capsys):
    assert (
        cli.main(
            ["report", str(folder), "-o", str(tmp_path), "--max-images", "1", "--max-side", "32"]
        )
        == 0
    )
    assert f"{tmp_path / 'report.html'} (0." in capsys.readouterr().out
    assert counts(data_of((tmp_path / "report.html").read_text()))[0] == 1
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "no benchmark.json there" in capsys.readouterr().err
    assert cli.main(["report", str(folder), "--max-images", "-1"]) == 2
    assert "take 0 or more" in capsys.readouterr().err


def test_numbers_out_of_range_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(WxrError, match="max_side 3"):
        write_report(tmp_path, max_side=3)


def test_the_command_has_the_defaults_of_the_function():
    assert (report_command.MAX_IMAGES, report_command.MAX_SIDE) == (
        report_module.MAX_IMAGES,
        report_module.MAX_SIDE,
    )
