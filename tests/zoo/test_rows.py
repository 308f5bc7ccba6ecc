"""Rows of published checkpoints: typed, with an existing network and a matching option file."""

import inspect
from pathlib import Path

import pytest
import yaml
from basicsr.utils.registry import ARCH_REGISTRY

import wxr_plugin
from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.rows import DATA, _read, find_row, rows, variants

ROOT = Path(wxr_plugin.__file__).parents[1]


def test_names_are_unique():
    names = [
        row["name"]
        for file in DATA.glob("*.yml")
        for row in yaml.safe_load(file.read_text(encoding="utf-8"))
    ]
    assert len(names) == len(set(names)) == len(rows()) > 90


@pytest.mark.parametrize("row", rows().values(), ids=rows())
def test_a_row_has_a_network_that_takes_its_arguments(row):
    for alternative in ({}, *row.either):
        arguments = row.network_g | alternative
        network = ARCH_REGISTRY.get(arguments.pop("type"))
        inspect.signature(network).bind(**arguments)
    assert not (row.files and (row.file or row.key or row.prefix or row.sha256))
    assert row.source.startswith("https://") and row.range[0] < row.range[1]


@pytest.mark.parametrize("option", sorted({row.option for row in rows().values() if row.option}))
def test_the_option_file_trains_the_network(option):
    content = yaml.safe_load((ROOT / option).read_text(encoding="utf-8"))
    kinds = {row.network_g["type"] for row in rows().values() if row.option == option}
    assert {content["network_g"]["type"]} == kinds


def test_other_names_get_suggestions():
    assert find_row("nafnet-sidd-width32").method == "NAFNet"
    assert {row.name for row in variants("restormer")} >= {"restormer-derain", "restormer-deblur"}
    for name, said in (
        ("restormer", "has the variants restormer-derain, restormer-deblur,"),
        ("restormer-deraining", "did you mean restormer-derain,"),
        ("DACLIP", "has the variants daclip,"),
        ("qqqqq", "wxr zoo list"),
    ):
        with pytest.raises(WxrError, match=said):
            find_row(name)


def test_a_bad_row_is_named_with_its_file(tmp_path):
    (tmp_path / "odd.yml").write_text("- {name: x, method: X, tasc: derain}\n")
    with pytest.raises(WxrError, match=r"odd\.yml: .*tasc"):
        _read(tmp_path / "odd.yml")
