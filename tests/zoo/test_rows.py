"""Rows of published checkpoints: each names a network that is there, with arguments that it takes."""

import inspect
from pathlib import Path

import pytest
import yaml
from basicsr.utils.registry import ARCH_REGISTRY

import wxr_plugin

FILES = sorted((Path(wxr_plugin.__file__).parent / "zoo").glob("*.yml"))
ROWS = [row for file in FILES for row in yaml.safe_load(file.read_text(encoding="utf-8"))]
NEEDED = {"name", "method", "paper", "task", "licence", "source", "network_g"}
KNOWN = NEEDED | {"file", "sha256", "key", "prefix", "input", "multiple", "notes"}


def test_names_are_unique():
    names = [row["name"] for row in ROWS]
    assert len(names) == len(set(names)) > 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_row_has_a_network_that_takes_its_arguments(row):
    assert NEEDED <= row.keys() <= KNOWN
    arguments = dict(row["network_g"])
    network = ARCH_REGISTRY.get(arguments.pop("type"))
    inspect.signature(network).bind(**arguments)
    assert len(row.get("sha256", "0" * 64)) == 64
