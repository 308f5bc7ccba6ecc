"""Rows of a label store as CSV and as counts, with few of them in memory."""

import csv
import json
import math

import numpy as np
import pytest

from wxr_plugin.cli.main import main
from wxr_plugin.labels import listing
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.utils import external_sort

MODEL = {"model": "a", "prompt": "visibility"}
METRIC = {"type": "pyiqa", "metric": "m"}


@pytest.fixture
def store(tmp_path):
    with LabelStore(tmp_path / "s.lmdb") as store:
        for name in ("z", "a", "=m", "ö"):
            store.put_rating(name, "c", MODEL, 1.5, (1, 2, 3, 4, 5))
            store.put_rating(name, "c", METRIC, 5, (math.nan,) * 5)
            store.put_description(name, "c", MODEL, "Rain,\nfog")
            store.put_rewrite(name, "Rain,\nfog", MODEL, "Sun")
        store.put_failure("b", "c", MODEL, "cut short")
        for iteration in (0, 10):
            image = np.full((4, 4, 3), iteration, np.uint8)
            store.put_pseudo("a", image, 3.5, f"teacher@{iteration}", iteration, "?")
    return tmp_path / "s.lmdb"


@pytest.mark.parametrize("chunk", [3, 50_000])
def test_rows_come_by_image_and_time_whatever_fits_the_memory(store, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(external_sort.sorted_on_disk, "__defaults__", (chunk,))
    with LabelStore(store, readonly=True) as labels:
        expected = listing.rows(labels)
    assert main(["label", "show", str(store), "--csv", str(tmp_path / "rows.csv")]) == 0
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(expected) == 18
    assert [row["image"] for row in rows] == [
        {"=m": "'=m"}.get(row["image"], row["image"]) for row in expected
    ]
    assert {row["kind"] for row in rows} == {
        *("rating", "description", "rewrite", "failure", "pseudo-label")
    }
    (label,) = (row for row in rows if row["kind"] == "pseudo-label")
    assert label["iteration"] == "10"  # the newest version alone


def test_the_report_counts_by_kind_and_model(store, capsys):
    assert main(["label", "report", str(store), "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)
    counts = {(group["kind"], group["model"], group["source"]): group["rows"] for group in groups}
    assert counts == {
        ("description", "a", ""): 4,
        ("failure", "a", ""): 1,
        ("pseudo-label", "", "teacher"): 1,
        ("rating", "a", ""): 4,
        ("rating", "pyiqa", ""): 4,
        ("rewrite", "a", ""): 4,
    }
    (rated,) = (group for group in groups if group["model"] == "pyiqa")
    assert rated["mean_rating"] == 5 and rated["histogram"] == {"4.5-5.0": 4}
    assert main(["label", "report", str(store)]) == 0
    assert capsys.readouterr().out.endswith("\n18 rows\n")


def test_a_missing_store_is_one_line(tmp_path, capsys):
    assert main(["label", "report", str(tmp_path / "no.lmdb")]) == 2
    assert "no label store here" in capsys.readouterr().err
