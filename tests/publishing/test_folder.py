"""The folder of a repository: it loads by itself, and its card states what is known."""

import json

import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from experiment_toys import NETWORK, write_experiment
from hub_server import front_matter

import wxr_plugin as wxr
from wxr_plugin.checkpoints.containers import load_network_options, load_weights
from wxr_plugin.conditioning.clip import TINY as CLIP
from wxr_plugin.conditioning.daclip import TINY as DACLIP
from wxr_plugin.conditioning.prompts import WeatherPrompts
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import TINY
from wxr_plugin.publishing.card import checked_licence
from wxr_plugin.publishing.folder import Settings, write_folder
from wxr_plugin.publishing.sources import find_source


@pytest.fixture
def experiment(tmp_path):
    return write_experiment(tmp_path / "experiments" / "rain")


def published(place, target, option_file=None, **settings):
    """Return the folder that is written for a source."""
    source = find_source(str(place), option_file)
    return write_folder(source, Settings("me/rain", **settings), target)


def test_the_folder_of_a_packaged_network_restores_as_it_does(tmp_path):
    folder = published("tiny", tmp_path / "new", licence="mit")
    photo = packaged_photo("chelsea")[:64, :64]
    model = wxr.load(folder / "model.safetensors", device="cpu")
    assert np.array_equal(model(photo), wxr.load("tiny", device="cpu")(photo))
    # Numbers of 16 bits stay so.
    sizes = [path.stat().st_size for path in (folder / "model.safetensors", TINY)]
    assert sizes[0] < 1.1 * sizes[1]
    assert "## Notes" in (folder / "README.md").read_text()


def test_an_experiment_becomes_a_repository(experiment, tmp_path):
    folder = published(experiment, tmp_path / "new", licence="mit")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "README.md",
        "config.json",
        "model.safetensors",
        "recipe.yml",
        "pictures/held_a.jpg",
    }
    assert load_network_options(folder / "model.safetensors") == NETWORK
    assert json.loads((folder / "config.json").read_text())["network_g"] == NETWORK
    weights = load_weights(experiment / "models" / "net_g_latest.pth")
    stored = load_weights(folder / "model.safetensors")
    assert all(torch.equal(stored[name], weights[name]) for name in weights)


def test_the_card_has_what_the_hub_and_a_reader_want(experiment, tmp_path):
    text = (published(experiment, tmp_path / "new", licence="mit") / "README.md").read_text()
    head = front_matter(text.encode())
    assert head["license"] == "mit" and head["library_name"] == "wxr_plugin"
    assert head["pipeline_tag"] == "image-to-image" and head["base_model"] == "first/start"
    assert "image-restoration" in head["tags"]
    for words in (
        "--checkpoint hf://me/rain",
        'wxr.load("hf://me/rain")',
        "type: NAFNet",
        "- pixel_opt: `L1Loss`, weight 2.0",
        "- batch size per GPU: 4",
        "- seed: 7",
        "Where there are two, the left one is the input.",
        "- train: many, PairedWeatherDataset, dataroot_gt `clear`",
        "| held (iteration 10) | PSNR | 30.5000 |",
        "![left: the input, right: the result](pictures/held_a.jpg)",
        "`mit`. The licences of the training data",
    ):
        assert words in text
    assert "image | 1.5" not in text


def test_the_newest_result_is_shown_next_to_its_input(experiment, tmp_path):
    folder = published(experiment, tmp_path / "new")
    picture = read_image(folder / "pictures" / "held_a.jpg")
    assert picture.shape == (8, 24, 3)
    assert abs(int(picture[4, 2, 0]) - 40) < 8 and abs(int(picture[4, 20, 0]) - 200) < 8


def test_paths_of_the_machine_stay_on_it(experiment, tmp_path):
    folder = published(experiment, tmp_path / "new")
    for name in ("README.md", "recipe.yml", "config.json"):
        text = (folder / name).read_text()
        assert "somebody" not in text and str(tmp_path) not in text
    recipe = yaml.safe_load((folder / "recipe.yml").read_text())
    assert recipe["datasets"]["train"]["dataroot_gt"] == "clear"
    assert recipe["train"]["total_iter"] == 10


def test_the_best_network_comes_before_the_last(experiment, tmp_path):
    latest = torch.load(experiment / "models" / "net_g_latest.pth")
    best = {name: tensor + 1 for name, tensor in latest["params"].items()}
    torch.save({"params": best, "network_g": NETWORK}, experiment / "models" / "net_g_best.pth")
    folder = published(experiment, tmp_path / "new")
    stored = load_weights(folder / "model.safetensors")
    assert all(torch.equal(stored[name], best[name]) for name in best)


def test_numbers_that_need_32_bits_keep_them(experiment, tmp_path):
    stored = load_weights(published(experiment, tmp_path / "new") / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}


def test_photos_are_restored_for_the_card(tmp_path):
    photo = tmp_path / "rain.png"
    write_image(photo, packaged_photo("chelsea")[:48, :64])
    folder = published("tiny", tmp_path / "new", photos=[photo])
    assert read_image(folder / "pictures" / "rain.jpg").shape == (48, 128, 3)
    assert "pictures/rain.jpg" in (folder / "README.md").read_text()


def test_the_table_of_a_benchmark_is_shown(tmp_path):
    report = "# b\n\n- note\n\n| method | PSNR |\n|---|---|\n| mine | 31 |\n\n| other |\n"
    (tmp_path / "report.md").write_text(report)
    text = (published("tiny", tmp_path / "new", benchmark=tmp_path) / "README.md").read_text()
    assert "## Benchmark\n\n| method | PSNR |\n|---|---|\n| mine | 31 |\n\n##" in text


def test_an_option_file_names_the_network_of_a_checkpoint(tmp_path):
    experiment = write_experiment(tmp_path / "rain", stores_network=False)
    checkpoint = tmp_path / "x.pth"
    (experiment / "models" / "net_g_latest.pth").rename(checkpoint)
    with pytest.raises(WxrError, match="add --opt with the option file"):
        published(checkpoint, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    folder = published(checkpoint, tmp_path / "new", experiment / "rain.yml")
    assert load_network_options(folder / "model.safetensors") == NETWORK


def test_weights_of_another_network_are_not_published(experiment, tmp_path):
    other = build_network(NETWORK | {"width": 8}).state_dict()
    torch.save({"params": other, "network_g": NETWORK}, tmp_path / "x.pth")
    with pytest.raises(WxrError, match=r"x\.pth"):
        published(tmp_path / "x.pth", tmp_path / "new")
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".new*"))


def test_a_guide_of_this_machine_is_refused(tmp_path):
    weights = build_network(dict(NETWORK)).state_dict()
    guide = tmp_path / "guide.pt"
    guide.write_bytes(b"")
    block = {"model": str(guide)}
    torch.save({"params": weights, "network_g": NETWORK, "guide": block}, tmp_path / "x.pth")
    with pytest.raises(WxrError, match="--guide hf://OWNER/NAME/FILE"):
        published(tmp_path / "x.pth", tmp_path / "new")
    folder = published(tmp_path / "x.pth", tmp_path / "new", guide="hf://me/guide/guide.pt")
    stored = load_network_options(folder / "model.safetensors", "guide")
    assert stored == {"model": "hf://me/guide/guide.pt"}


def test_prompts_are_copied_with_a_card(tmp_path):
    file = tmp_path / "prompts.safetensors"
    WeatherPrompts(torch.zeros(4, 16, 8), "tiny", "0" * 64).save(file)
    folder = published(file, tmp_path / "new", licence="mit")
    assert (folder / file.name).read_bytes() == file.read_bytes()
    text = (folder / "README.md").read_text()
    assert "wxr prompts check hf://me/rain/prompts.safetensors" in text
    assert front_matter(text.encode())["license"] == "mit"


def test_a_model_keeps_its_own_card(tmp_path):
    model = tmp_path / "rater"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"x")
    folder = published(model, tmp_path / "new")
    assert 'rater: {model: "hf://me/rain"}' in (folder / "README.md").read_text()
    (model / "README.md").write_text("its own")
    folder = published(model, tmp_path / "newer", licence="mit")
    text = (folder / "README.md").read_text()
    assert text.endswith("its own") and front_matter(text.encode())["license"] == "mit"
    (model / "README.md").write_text("---\nlicense: other\n---\nits own")
    folder = published(model, tmp_path / "newest", licence="mit")
    assert front_matter((folder / "README.md").read_bytes())["license"] == "other"


def test_a_guide_and_a_clip_are_copied(tmp_path):
    folder = published(DACLIP, tmp_path / "guide")
    assert (folder / DACLIP.name).read_bytes() == DACLIP.read_bytes()
    assert f"--model hf://me/rain/{DACLIP.name}" in (folder / "README.md").read_text()
    assert (published(CLIP, tmp_path / "clip") / "open_clip_config.json").is_file()


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("mine")
    with pytest.raises(WxrError, match="is there already; name another folder"):
        published("tiny", tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "place, words",
    {
        "nothing.pth": "no such file or folder; give a checkpoint, experiments/NAME",
        "x.yml": "give the checkpoint, and this file with --opt",
        "empty": "neither an experiment",
    }.items(),
)
def test_what_is_no_network_is_refused(tmp_path, place, words):
    (tmp_path / "x.yml").write_text("name: x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WxrError, match=words):
        find_source(str(tmp_path / place))


def test_a_licence_is_an_identifier():
    assert checked_licence("MIT") == "mit" and checked_licence(None) is None
    with pytest.raises(WxrError, match="such as mit"):
        checked_licence("my own licence!")
