"""The tables of validation on disk."""

import csv

import pytest

from wxr_plugin.models.base.val_table import write_rows


def row(iteration, psnr):
    return {"iter": iteration, "image": "a", "psnr": psnr}


def iterations_and_values(path):
    with path.open(newline="") as file:
        return [(line["iter"], float(line["psnr"])) for line in csv.DictReader(file)]


@pytest.mark.parametrize("again", [100, "final"])
def test_a_second_validation_at_an_iteration_replaces_the_rows_of_the_first(tmp_path, again):
    path = tmp_path / "val.csv"
    for rows in ([row(50, 1.0)], [row(again, 2.0)], [row(again, 3.0)]):
        write_rows(path, rows)
    assert iterations_and_values(path) == [("50", 1.0), (str(again), 3.0)]


def test_rows_of_later_iterations_go_when_a_run_is_resumed_from_an_earlier_one(tmp_path):
    path = tmp_path / "val.csv"
    for iteration in (50, 100, 150, 100):
        write_rows(path, [row(iteration, float(iteration))])
    assert iterations_and_values(path) == [("50", 50.0), ("100", 100.0)]
