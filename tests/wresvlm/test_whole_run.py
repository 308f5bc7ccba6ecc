"""The whole method on packaged photos, with the packaged models and all five losses."""

import csv
import json
import re

import pytest
import yaml
from run_files import REPOSITORY

from wxr_plugin.cli import main as cli
from wxr_plugin.data import packaged_photos
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.weather.synthesis import KINDS
from wxr_plugin.wresvlm import records

SMALL = [
    "datasets:train:gt_size=64",
    "datasets:train:batch_size_per_gpu=2",
    "datasets:train:num_worker_per_gpu=0",
]
SMALL += ["val:val_freq=1", "logger:save_checkpoint_freq=1", "logger:print_freq=1", "+train:keep=1"]


def write_photos(folder):
    for name in ("astronaut", "china", "flower", "coffee"):
        root = folder / ("held_out" if name == "coffee" else "clear")
        write_image(root / f"{name}.png", packaged_photos.packaged_photo(name)[100:196, 100:220])
    for number, kind in enumerate(KINDS):
        for name in ("china", "coffee"):
            photo = packaged_photos.packaged_photo(name)[100:196, 150:260]
            write_image(
                folder / f"real/{kind}/{name}.png",
                packaged_photos.weathered(photo, kind, 0.6, number, "shifted"),
            )


def small_run():
    """options/tiny/wresvlm_run.yml with fewer iterations and small crops."""
    run = yaml.safe_load((REPOSITORY / "options/tiny/wresvlm_run.yml").read_text())
    root = "datasets/tiny"
    for part in ("supervised", "train"):
        run[part]["opt"] = str(REPOSITORY / run[part]["opt"])
        run[part]["force_yml"] += SMALL
    run["supervised"]["force_yml"] += ["train:total_iter=1"]
    run["data"] = {"gt": f"{root}/clear", "real": f"{root}/real"}
    run["init"]["restorers"] = ["supervised"]
    run["prompts"] = {"iterations": 3, "crops": 0, "synthetic": True}
    run["rounds"] = [
        {"rater": "visibility", "iterations": 1},
        {"rater": "quality", "iterations": 1},
    ]
    return run | {"work": "work"}


@pytest.mark.slow
def test_folders_become_a_report_and_a_second_call_skips_everything(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "datasets/tiny")
    (tmp_path / "run.yml").write_text(yaml.safe_dump(small_run()))
    assert cli.main(["wresvlm", "run", "-opt", "run.yml"]) == 0
    output = capfd.readouterr().out
    assert "Warning: the rater behind VLM-Vis (quality) took part in training" in output

    page = (tmp_path / "work/report/index.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    data = json.loads(re.search(r'id="v-data">(.*?)</script>', page, re.S)[1])
    names = ["input", "supervised", "round_1", "round_2", "pseudo-labels"]
    assert [title for _, title in data["sources"]] == names
    assert [(part["title"], len(part["images"])) for part in data["sets"]] == [
        (weather, 2) for weather in ("rain", "haze", "snow")
    ]
    photo = data["sets"][0]["images"][0]
    assert all(uri.startswith("data:image/webp") for uri in photo["d"])
    entries = {name: text for _, entries in photo["t"] for name, text in entries}
    assert "The weather is clear." in entries["Rewrite"] and "rating" in entries["Pseudo-label"]
    for words in ("round_2", "panel_2", "prompts_2", "The weather is clear.", "took part"):
        assert words in page
    with open(tmp_path / "work/report/table.csv") as file:
        rows = list(csv.DictReader(file))
    steps = ["input", "supervised", "round_1", "round_2"]
    vis = {
        (row["stage"], row["weather"]): float(row["value"])
        for row in rows
        if row["measure"] == "VLM-Vis"
    }
    assert set(vis) == {(step, weather) for step in steps for weather in (*KINDS, "overall")}
    assert all(0 <= value <= 1 for value in vis.values())
    assert {row["stage"] for row in rows if row["measure"].startswith("psnr")} == set(steps)

    assert cli.main(["wresvlm", "run", "-opt", "run.yml"]) == 0
    output = capfd.readouterr().out
    assert output.count("done before, skipped") == 12
    assert "Training statistics" not in output

    before = records.read(tmp_path / "work/round_1").made
    change = ["--force_yml", "prompts:iterations=4"]
    assert cli.main(["wresvlm", "run", "-opt", "run.yml", "--list", *change]) == 0
    listed = dict(
        line.split()[:2] for line in capfd.readouterr().out.splitlines() if line[0] != "W"
    )
    assert [name for name, word in listed.items() if word == "outdated"] == [
        *(
            "prompts",
            "round_1",
            "panel_2",
            "describe_2",
            "rewrite_2",
            "prompts_2",
            "round_2",
            "report",
        )
    ]
    assert cli.main(["wresvlm", "run", "-opt", "run.yml", "--until", "prompts", *change]) == 0
    assert "made again, because prompts.iterations changed from 3 to 4" in capfd.readouterr().out
    assert records.read(tmp_path / "work/round_1").made == before
    assert (tmp_path / "work/old/prompts.1/prompts.safetensors").is_file()
    assert cli.main(["wresvlm", "report", "-opt", "run.yml", *change]) == 0
    assert "of 2 rounds are done so far" in (tmp_path / "work/report/index.html").read_text()
