"""The tables of a report, and how Markdown and LaTeX write them."""

import math
import re

import msgspec
import pytest
import report_toys as toys

from wxr_plugin.benchmark.published import Figure, published
from wxr_plugin.benchmark.report import latex as report_latex
from wxr_plugin.benchmark.report import markdown
from wxr_plugin.benchmark.report.content import content
from wxr_plugin.benchmark.report.page import html_table
from wxr_plugin.benchmark.report.quality import quality_tables
from wxr_plugin.benchmark.report.tables import as_printed
from wxr_plugin.benchmark.results import Results
from wxr_plugin.benchmark.tables import Cell, Heading, difference, figure_text, rank
from wxr_plugin.utils.html import is_worse


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return toys.write_benchmark(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def report(whole):
    return content(Results.read(whole))


def table(tables, title):
    return next(part for part in tables if part.title == title)


def row(table, name):
    return dict(table.rows)[name]


def marks(values, better, digits=2):
    cells = [Cell() for _ in values]
    rank(cells, values, Heading("m", better), digits)
    return [cell.rank for cell in cells]


def test_best_and_second_follow_direction_and_digits():
    assert marks([1.0, 3.0, 2.0], "higher") == ["", "best", "second"]
    assert marks([1.0, 3.0, 2.0], "lower") == ["best", "", "second"]
    assert marks([3.001, 3.004, 2.0, 1.0], "higher") == ["best", "best", "second", ""]
    assert marks([3.0, 2.0], "higher") == ["best", ""]
    assert marks([3.0, math.nan], "higher") == ["", ""]
    assert marks([3.0, 1.0, 2.0], "") == ["", "", ""]


def test_figures_have_their_digits_and_a_true_minus():
    assert [
        figure_text(*figure) for figure in ((1.005, 1), (-2.0, 2), (math.nan, 2), (-0.001, 2))
    ] == [
        "1.0",
        "−2.00",
        "–",
        "0.00",
    ]
    assert (
        figure_text(0.5, 2, sign=True) == "+0.50" and figure_text(-0.001, 2, sign=True) == "+0.00"
    )
    figure = Figure(0.903, 3, None, "MAXIM", "DA-CLIP", "t", "Rain100H", "SSIM")
    assert difference(0.90064, 4, figure) == "−0.002"


def test_photos_without_ground_truth_share_a_table_with_their_overall(whole):
    quality = table(quality_tables(Results.read(whole)), "Photos without ground truth")
    assert quality.groups == [("Haze: RTTS (2)", 1), ("Rain: RealRain (2)", 1), ("Overall", 1)]
    assert [(heading.title, heading.arrow) for heading in quality.columns] == [("MUSIQ", "↑")] * 3
    assert [cell.text for cell in row(quality, "PromptIR")] == [
        "50.00"
    ] * 3  # 50.005 is 50.00 in two digits
    assert [cell.rank for cell in row(quality, "My <b>net</b> & co_1")] == ["best"] * 3


def test_pairs_have_a_table_for_each_task_and_one_of_averages(whole):
    tables = quality_tables(Results.read(whole))
    assert [part.title for part in tables] == [
        "Photos without ground truth",
        "Rain, full reference",
        "Rain, no reference",
        "Haze, full reference",
        "Haze, no reference",
        "All pairs",
    ]
    assert [heading.title for heading in table(tables, "Rain, full reference").columns] == [
        "PSNR (RGB)",
        "LPIPS",
        "FID",
    ]
    assert [cell.text for cell in row(table(tables, "All pairs"), "PromptIR")] == [
        "25.01",
        "0.208",
        "51.00",
        "50.01",
    ]


def with_input(folder, value):
    """Give the input the PSNR `value` on every image."""
    rows = toys.read_rows(folder)
    changed = [
        line | ({"psnr": value} if line["method"] == "input" and line["psnr"] else {})
        for line in rows
    ]
    toys.write_rows(folder, changed)


def test_the_input_is_ranked_and_what_is_worse_is_marked(tmp_path):
    folder = toys.write_benchmark(tmp_path)
    with_input(folder, "99")
    quality = table(quality_tables(Results.read(folder)), "Rain, full reference")
    assert row(quality, "Input")[0] == Cell("99.00", rank="best", count=3)
    assert row(quality, "PromptIR")[0].rank == "second" and row(quality, "PromptIR")[0].worse
    assert not row(quality, "Input")[0].worse and any("▼" in note for note in quality.notes)
    assert row(table(quality_tables(Results.read(folder)), "All pairs"), "PromptIR")[0].worse


def test_what_is_better_or_looks_alike_is_not_marked(tmp_path):
    folder = toys.write_benchmark(tmp_path)
    with_input(folder, "1")
    tables = quality_tables(Results.read(folder))
    assert not any(cells[0].worse for _, cells in table(tables, "Rain, full reference").rows)
    assert [is_worse(2.0, value, "higher", 2) for value in (2.001, 2.01, 1.9, math.nan)] == [
        False,
        True,
        False,
        False,
    ]
    assert is_worse(2.0, 1.9, "lower", 1) and not is_worse(2.0, 1.9, "", 1)


def test_a_method_is_compared_with_the_input_on_its_own_images(tmp_path):
    """The input's PSNR is 99 on an image that the method lacks, and 1 on the others."""
    folder = toys.write_benchmark(tmp_path)
    with_input(folder, "1")
    rows, lost = toys.read_rows(folder), ("promptir", "rain100h", "9")
    for line in rows:
        line |= {"psnr": "99"} if (line["method"], line["image"]) == ("input", "9") else {}
    toys.write_rows(
        folder, [line for line in rows if (line["method"], line["set"], line["image"]) != lost]
    )
    quality = table(quality_tables(Results.read(folder)), "Rain, full reference")
    assert row(quality, "PromptIR")[0].partial and not row(quality, "PromptIR")[0].worse
    assert row(quality, "My <b>net</b> & co_1")[0].worse


def test_every_form_of_the_report_marks_what_is_worse(tmp_path):
    folder = toys.write_benchmark(tmp_path)
    with_input(folder, "99")
    report = content(Results.read(folder))
    text = row(table(report.quality, "Rain, full reference"), "PromptIR")[0].text
    assert f"<u>{text}</u> ▼" in markdown.to_markdown(report)
    latex = report_latex.to_latex(report)
    assert (
        rf"\textcolor{{red}}{{\underline{{{text}}}\,$\bigtriangledown$}}" in latex
        and "xcolor" in latex
    )
    assert f'<span class="worse" title="worse than the input"><u>{text}</u> ▼</span>' in html_table(
        table(report.quality, "Rain, full reference")
    )


def test_a_mean_over_fewer_images_is_marked_and_cannot_win(tmp_path):
    folder = toys.write_benchmark(tmp_path, {**toys.METHODS, "worst": ("Worst", None)})
    lost = ("promptir", "rain100h", "9")
    rows = [
        line
        for line in toys.read_rows(folder)
        if (line["method"], line["set"], line["image"]) != lost
    ]
    toys.write_rows(folder, rows)
    quality = table(quality_tables(Results.read(folder)), "Rain, full reference")
    assert (row(quality, "PromptIR")[0].partial, row(quality, "PromptIR")[0].rank) == (True, "")
    assert (
        row(quality, "My <b>net</b> & co_1")[0].partial,
        row(quality, "My <b>net</b> & co_1")[0].rank,
    ) == (
        False,
        "best",
    )
    assert any("†" in note for note in quality.notes)


def test_many_metrics_become_several_tables(tmp_path):
    metrics = {f"m{place}": toys.METRICS["musiq"] | {"title": f"M{place}"} for place in range(7)}
    sets = {name: toys.SETS["rtts"] | {"title": name} for name in ("a", "b", "c")}
    folder = toys.write_benchmark(tmp_path, sets=sets)
    rows = [line | dict.fromkeys(metrics, "1") for line in toys.read_rows(folder)]
    toys.write_rows(folder, rows, metrics)
    toys.write_facts(folder, sets=sets, metrics=metrics)
    tables = quality_tables(Results.read(folder))
    assert [part.title for part in tables] == [
        f"Photos without ground truth, part {part}" for part in (1, 2)
    ]
    assert [len(part.columns) for part in tables] == [4 * 4, 3 * 4]


def test_published_figures_stand_beside_ours_with_the_difference(report):
    cell = row(table(report.quality, "Photos without ground truth"), "PromptIR")[0]
    assert (cell.published.value, cell.difference, cell.count) == (53.88, "−3.88", 2)
    (comparison,) = report.comparison
    assert [name for name, _ in comparison.rows] == ["PromptIR", "– published", "– difference"]
    assert [[cell.text for cell in cells] for _, cells in comparison.rows] == [
        ["50.00", "50.00"],
        ["53.88", "53.48"],
        ["−3.88", "−3.48"],
    ]
    assert comparison.groups == [("Haze: RTTS (2)", 1), ("Rain: RealRain (2)", 1)]
    assert "RTTS: 2 images here, 4,322 there" in report.comparable[0]
    assert any(text.startswith("WResVLM: Xu et al.") for text in report.comparable)


def test_a_printed_average_is_compared_if_the_sets_are_those_of_the_table(tmp_path):
    sets = {
        name: toys.SETS["rtts"] | {"title": name}
        for name in ("rtts", "realrain", "snow100k-realistic")
    }
    folder = toys.write_benchmark(tmp_path, sets=sets)
    (quality,) = quality_tables(Results.read(folder))
    assert [cell.published.value for cell in row(quality, "PromptIR")] == [
        53.88,
        53.48,
        60.86,
        56.07,
    ]
    toys.write_facts(folder, sets={name: sets[name] for name in ("rtts", "realrain")})
    (quality,) = quality_tables(Results.read(folder))
    assert row(quality, "PromptIR")[-1].published is None


def test_what_the_published_table_does_not_say_is_told(tmp_path):
    folder = toys.write_benchmark(tmp_path, {"maxim": ("MAXIM", "maxim-rain13k")})
    parts = content(Results.read(folder))
    assert row(table(parts.quality, "Rain, full reference"), "MAXIM")[0].published.value == 30.81
    assert any(
        "does not say whether PSNR and SSIM are those of RGB or of Y" in text
        for text in parts.comparable
    )


def test_the_universal_daclip_next_to_figures_of_single_tasks_is_noted(tmp_path):
    folder = toys.write_benchmark(
        tmp_path, {"daclip": ("DA-CLIP", "daclip"), "maxim": ("MAXIM", "maxim-rain13k")}
    )
    parts = content(Results.read(folder))
    (note,) = (text for text in parts.comparable if text.startswith("DA-CLIP on Rain100H"))
    assert "one network for each degradation" in note and "universal" in note
    for key in ("daclip-rain100h", "daclip-lol", "daclip-gopro", "daclip-reside6k"):
        assert any("universal" in text for text in as_printed(published().tables[key]).notes)
    assert not any(
        "universal" in text for text in as_printed(published().tables["daclip-unified"]).notes
    )


def test_published_tables_are_printed_whole(report):
    printed = as_printed(published().tables["wresvlm-quality"])
    assert printed.groups == [
        ("Rain (2,320)", 3),
        ("Haze (4,322)", 3),
        ("Snow (1,329)", 3),
        ("Overall", 3),
    ]
    assert [cell.rank for cell in row(printed, "WResVLM")] == ["best"] * 5 + ["second"] + [
        "best"
    ] * 6
    assert row(printed, "PromptIR")[5] == Cell("0.372", rank="best")
    assert any("Doubtful: CLIP-IQA of WResVLM" in note for note in printed.notes)
    titles = [part.title for part in report.published]
    assert "Deraining" in titles and "Deblurring" not in titles


def test_the_protocol_is_stated(report):
    assert ("Colour space", "RGB") in report.facts and (
        "Packages",
        "torch 2.9, pyiqa 0.1",
    ) in report.facts
    cells = row(report.protocol, "PromptIR")
    assert [cell.text for cell in cells] == [
        "promptir-all-in-one",
        "MSBDN",
        "promptir.pth",
        "ab" * 32,
        "fp32",
        "512",
        "32",
    ]
    assert [cell.text for cell in row(report.cost, "PromptIR")] == ["1.23", "55.0", "10.00", "102"]


def test_packages_of_rows_made_with_others_are_told_apart(tmp_path):
    folder = toys.write_benchmark(tmp_path)
    toys.write_rows(folder, [line | {"versions": "v1+v2"} for line in toys.read_rows(folder)])
    toys.write_facts(
        folder,
        versions_by_digest={"v1": {"torch": "2.8"}, "v2": {"torch": "2.9"}, "v3": {"torch": "1"}},
    )
    facts = dict(content(Results.read(folder)).facts)
    assert (facts["Packages v1"], facts["Packages v2"]) == (
        "torch 2.8",
        "torch 2.9",
    ) and "Packages v3" not in facts


def test_mixed_protocols_and_missing_images_are_warned_of(tmp_path):
    folder = toys.write_benchmark(tmp_path)
    rows = [
        line | ({"precision": "bf16"} if line["image"] == "9" else {})
        for line in toys.read_rows(folder)
    ]
    toys.write_rows(
        folder, [line for line in rows if (line["method"], line["image"]) != ("promptir", "11")]
    )
    warnings = content(Results.read(folder)).warnings
    assert (
        "PromptIR: its means mix images made under several values of precision (bf16, fp32)"
        in warnings
    )
    assert "PromptIR: 2 of 3 images of Rain100H exist" in warnings
    toys.write_rows(folder, [])
    (folder / "sets.csv").unlink()
    assert content(Results.read(folder)).warnings == [
        "nothing that a method restored has been measured"
    ]


def test_errors_and_overlaps_are_listed_up_to_a_limit(tmp_path):
    folder = toys.write_benchmark(tmp_path)
    rows = toys.read_rows(folder)
    toys.write_rows(
        folder, [rows[-1] | {"image": str(place), "error": "out of memory"} for place in range(150)]
    )
    (folder / "overlaps.csv").write_text(
        "set,image,which,file,training,kind,distance\nrtts,9,lq,a.png,b.png,near,3\n"
    )
    parts = content(Results.read(folder))
    assert len(parts.errors.rows) == 100 and "The first 100 of 150" in parts.errors.notes[0]
    assert parts.overlaps.rows[0] == (
        "rtts",
        [Cell(text) for text in ("9", "lq", "a.png", "b.png", "near", "3")],
    )


def test_markdown_marks_and_escapes(report):
    text = markdown.to_markdown(report)
    assert "# toy \\<benchmark\\>" in text
    assert "| My \\<b\\>net\\</b\\> \\& co\\_1 | <u>24.51</u> | **0.160** | **42.00** |" in text
    assert "| PromptIR | **25.01** | <u>0.210</u> | <u>51.00</u> |" in text
    assert markdown.escape("a|b\n`c`") == "a\\|b \\`c\\`"
    widths = [line.count("|") - line.count("\\|") for line in text.split("\n\n")[3].splitlines()]
    assert len(set(widths)) == 1


def test_latex_marks_escapes_and_balances(report):
    text = report_latex.to_latex(report)
    figures = r"\underline{24.51} & \textbf{0.160}"
    assert (
        rf"My \textless{{}}b\textgreater{{}}net\textless{{}}/b\textgreater{{}} \& co\_1 & {figures}"
        in text
    )
    assert r"\cmidrule(lr){2-2} \cmidrule(lr){3-3} \cmidrule(lr){4-4}" in text
    assert r"\multicolumn{1}{c}{Haze: RTTS (2)}" in text and r"MUSIQ $\uparrow$" in text
    assert "ab" * 6 in text and "ab" * 7 not in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 4 * text.count(r"\toprule") // 2
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    labels = re.findall(r"\\label{(.*)}", text)
    assert len(labels) == len(set(labels)) and "tab:rain-full-reference" in labels
    for block in re.findall(r"\\midrule\n(.*?)\\bottomrule", text, re.S):
        assert len({line.replace(r"\&", "").count("&") for line in block.splitlines()}) == 1


def test_latex_escapes_every_sign():
    assert report_latex.escape("50% of $x_1 & #{a}~^\\") == (
        r"50\% of \$x\_1 \& \#\{a\}\textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert report_latex.escape("Özdenizci “x” ŝ 雨 −1 †") == r"Özdenizci ?x? ŝ ? $-$1 $^\dagger$"


def test_a_second_best_is_underlined_everywhere(report):
    parts = msgspec.structs.replace(report, quality=[as_printed(published().tables["daclip-lol"])])
    assert "<u>23.77</u>" in markdown.to_markdown(parts)
    assert r"\underline{23.77}" in report_latex.to_latex(parts)
