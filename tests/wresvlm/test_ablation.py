"""The option files of the ablation at the paper's size: each row adds its part and nothing else."""

from pathlib import Path

import pytest

from wxr_plugin.options import safe_yaml
from wxr_plugin.wresvlm.options import RunOptions

FOLDER = Path(__file__).parents[2] / "options" / "wresvlm"
ROWS = ("ps", "gate", "init", "wpl", "sem", "iter")
LOSSES = {"weather_prompt_opt": "wpl", "feature_opt": "wpl", "semantic_opt": "sem"}
"""Row from which on a loss is part of the training."""


def read(name):
    return safe_yaml.load(FOLDER / f"{name}.yml")


def has(row, part):
    return ROWS.index(row) >= ROWS.index(part)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_its_parts(row):
    block = read(f"ablation/{row}")
    expected = [f"train:{loss}=~" for loss, first in LOSSES.items() if not has(row, first)]
    if not has(row, "gate"):
        expected.append("train:gate=teacher")
    assert sorted(block["train"].get("force_yml", [])) == sorted(expected)
    assert ("init" in block) == has(row, "init")
    assert any(block["between"].values()) == has(row, "iter")


@pytest.mark.parametrize("row", ROWS)
def test_all_other_values_are_those_of_the_whole_recipe(row):
    block, recipe = read(f"ablation/{row}"), read("msbdn_160k")
    assert block.pop("name") != recipe.pop("name")
    block["train"].pop("force_yml", None)
    if not has(row, "init"):
        recipe.pop("init")
    if not has(row, "iter"):
        recipe["between"] = dict.fromkeys(recipe["between"], False)
    assert block == recipe


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_a_valid_run_but_for_its_data(row):
    block = read(f"ablation/{row}")
    block["data"] = {}
    for stage in ("supervised", "train"):
        block[stage]["opt"] = str(FOLDER.parents[1] / block[stage]["opt"])
    options = RunOptions.read(block)
    assert sum(entry.iterations for entry in options.rounds) == 160_000
