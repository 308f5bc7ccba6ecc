"""The published figures that the package keeps."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from wxr_plugin.benchmark.published import FILE, Published, average_mismatches, plain, published

KNOWN = published()
DIGITS = {name: metric.digits for name, metric in KNOWN.metrics.items()}


@pytest.mark.parametrize("key", KNOWN.tables)
def test_every_row_has_a_figure_for_each_set_and_metric(key):
    table = KNOWN.tables[key]
    assert table.paper in KNOWN.papers
    assert set(table.sets) <= set(KNOWN.sets) and set(table.metrics) <= set(KNOWN.metrics)
    assert not table.average or table.average in table.sets
    for method, figures in table.rows.items():
        assert [len(by_metric) for by_metric in figures] == [len(table.metrics)] * len(
            table.sets
        ), method
        assert all(
            value == round(value, DIGITS[name])
            for by_metric in figures
            for name, value in zip(table.metrics, by_metric)
        )


def test_how_many_figures_there_are():
    assert {
        key: sum(len(by_metric) for row in table.rows.values() for by_metric in row)
        for key, table in KNOWN.tables.items()
    } == {
        "wresvlm-quality": 9 * 12,
        "wresvlm-language": 9 * 12,
        "wresvlm-ablation": 7 * 3,
        "daclip-rain100h": 6 * 4,
        "daclip-lol": 6 * 4,
        "daclip-gopro": 6 * 4,
        "daclip-reside6k": 6 * 4,
        "daclip-unified": 8 * 4,
    }


@pytest.mark.parametrize("key", KNOWN.tables)
def test_printed_averages_are_the_means_of_the_printed_sets(key):
    assert list(average_mismatches(KNOWN.tables[key], DIGITS)) == []


def test_a_wrong_average_is_told_with_the_tables_own_figure():
    table = KNOWN.tables["wresvlm-quality"]
    rows = {"TKL": [*table.rows["TKL"][:3], [4.902, 52.80, 0.379]]}
    (mismatch,) = average_mismatches(msgspec.structs.replace(table, rows=rows), DIGITS)
    assert mismatch == ("TKL", "NIMA", 4.902, pytest.approx(4.90033, abs=1e-5))


def test_the_ablation_ends_at_the_method_of_the_main_tables():
    ablation, last = KNOWN.tables["wresvlm-ablation"], "+ iter"
    quality, language = KNOWN.tables["wresvlm-quality"], KNOWN.tables["wresvlm-language"]
    for metric in ("MUSIQ", "CLIP-IQA"):
        assert ablation.value(last, "Overall", metric) == quality.value(
            "WResVLM", "Overall", metric
        )
    assert ablation.value(last, "Overall", "VLM-Vis") == language.value(
        "WResVLM", "Overall", "VLM-Vis"
    )


def test_doubtful_figures_are_those_of_the_table():
    table = KNOWN.tables["wresvlm-quality"]
    (doubt,) = table.doubtful
    best = max(table.value(method, doubt.set, doubt.metric) for method in table.rows)
    assert table.value(doubt.method, doubt.set, doubt.metric) == 0.371 < best == 0.372


def test_every_method_of_a_comparison_is_known():
    methods = {name for table in KNOWN.tables.values() for name in table.rows}
    assert {
        name
        for name in methods - set(KNOWN.methods)
        if not name.startswith(("L_sup", "+ ", "NAFNet +"))
    } == {"WResVLM"}
    assert set(KNOWN.methods) <= methods


@pytest.mark.parametrize(
    ("zoo", "title", "name", "metric", "expected"),
    [
        ("weatherdiff-64", "anything", "rtts", "musiq", (47.70, "WeatherDiff", 4322)),
        (None, "WGWS Net", "my own", "nima", (5.035, "WGWS-Net", 2320)),
        ("maxim-rain13k", "M", "rain100h", "psnr_y", (30.81, "MAXIM", 100)),
        ("maxim-rain13k", "M", "Rain100H", "psnr", (30.81, "MAXIM", 100)),
        ("daclip", "", "GOPRO", "fid", (6.15, "DA-CLIP", None)),
        (None, "NAFNet + DA-CLIP", "ten degradations", "lpips", (0.145, "NAFNet + DA-CLIP", None)),
        ("daclip-mix", "DA-CLIP", "gopro", "fid", None),
        ("deblurgan-gopro", "", "gopro", "psnr", (28.70, "DeblurGAN", None)),
        ("weatherdiff-64", "", "rtts", "psnr", None),
        (None, "Nothing", "rtts", "musiq", None),
    ],
)
def test_finding_a_figure(zoo, title, name, metric, expected):
    figure = KNOWN.find(zoo, title, [name, "RealRain"] if name == "my own" else [name], metric)
    assert (figure and (figure.value, figure.method, figure.count)) == expected


def test_a_key_that_nobody_reads_is_refused():
    data = yaml.safe_load(Path(FILE).read_text(encoding="utf-8"))
    data["tables"]["daclip-lol"]["row"] = {}
    with pytest.raises(msgspec.ValidationError, match="row"):
        msgspec.convert(data, Published)


def test_names_are_compared_without_signs():
    assert plain("Snow100K-realistic") == plain("snow100k_Realistic") == "snow100krealistic"
    assert plain("NAFNet + DA-CLIP") != plain("NAFNet DA-CLIP")
    assert re.fullmatch(r"\w+", plain("Özdenizci (64)"))
