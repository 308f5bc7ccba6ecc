"""Every place that takes a checkpoint, a model or prompts takes a reference to the hub too."""

import shutil
from pathlib import Path

import pytest
import torch
from experiment_toys import NETWORK, write_experiment
from hub_toys import forget, go_offline

from wxr_plugin.benchmark.methods import _spec
from wxr_plugin.benchmark.options import MethodOptions
from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.conditioning import guides
from wxr_plugin.conditioning.clip import TINY as CLIP
from wxr_plugin.conditioning.clip import clip_config, load_clip
from wxr_plugin.conditioning.daclip import TINY as DACLIP
from wxr_plugin.conditioning.prefetching import find_prefetch
from wxr_plugin.conditioning.prompts import WeatherPrompts
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import TINY
from wxr_plugin.inference.specs import checkpoint_spec, read_spec
from wxr_plugin.options import files as option_files
from wxr_plugin.options.checks.guide import guide_width
from wxr_plugin.vlm.catalog import find_model
from wxr_plugin.vlm.fetch import identity, local_folder, portable_name
from wxr_plugin.wresvlm.digests import FileDigests


def contents(folder: Path) -> dict[str, bytes]:
    """Return name -> bytes of the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def tiny(hub):
    """Gives the commit of a repository with the packaged network."""
    return hub.add("me/tiny", {"model.safetensors": TINY.read_bytes()})


def test_a_restorer_is_named_by_its_repository(tiny):
    spec = read_spec("hf://me/tiny")
    assert spec.name == "tiny" and spec.checkpoint.read_bytes() == TINY.read_bytes()
    assert read_spec("mine=hf://me/tiny@main/model.safetensors").name == "mine"
    # The command line makes paths of its arguments.
    assert checkpoint_spec("x", Path("hf://me/tiny"), None).sha256() == spec.sha256()


def test_an_option_file_starts_from_a_reference(tiny, tmp_path):
    file = tmp_path / "rain.yml"
    file.write_text("network_g: {type: NAFNet}\npath: {pretrain_network_g: hf://me/tiny}\n")
    assert read_spec(str(file)).checkpoint.name == "model.safetensors"


def test_a_method_of_a_benchmark_is_a_reference(tiny):
    assert _spec("a", MethodOptions(checkpoint="hf://me/tiny")).sha256()


def test_a_training_loads_the_weights_of_a_reference(hub, tmp_path):
    from basicsr.archs import build_network

    from wxr_plugin.models.wxr_model import WxrModel

    experiment = write_experiment(tmp_path / "rain")
    file = experiment / "models" / "net_g_latest.pth"
    hub.add("me/rain", {"net.pth": file.read_bytes()})
    net = build_network(dict(NETWORK))
    model = WxrModel.__new__(WxrModel)
    model.opt, model.device = {"dist": False}, torch.device("cpu")
    model.load_network(net, "hf://me/rain/net.pth")
    weights = load_weights(file)
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_a_check_of_options_asks_nobody(hub, tmp_path):
    opt = {
        "network_g": dict(NETWORK),
        "path": {"pretrain_network_g": "hf://me/none/net.pth", "pretrain_network_d": "hf://none"},
    }
    problems = option_files.check(opt, "x.yml", is_train=False)
    texts = [str(problem) for problem in problems]
    assert not [text for text in texts if "me/none" in text]
    assert guide_width("hf://me/none/guide.pt") is None and clip_config("hf://me/none") is None
    assert hub.requests == []


def test_a_malformed_reference_is_a_problem_of_the_options():
    opt = {"network_g": dict(NETWORK), "path": {"pretrain_network_g": "hf://none"}}
    texts = [str(problem) for problem in option_files.check(opt, "x.yml", is_train=False)]
    assert [text for text in texts if "hf://none is not a reference to the hub" in text]


def test_photos_are_not_on_the_hub():
    dataset = {"name": "a", "type": "PairedWeatherDataset", "dataroot_gt": "hf://me/photos"}
    opt = {"network_g": dict(NETWORK), "datasets": {"test": dataset}}
    texts = [str(problem) for problem in option_files.check(opt, "x.yml", is_train=False)]
    assert [text for text in texts if "hf://me/photos does not exist" in text]


def test_a_clip_is_loaded_with_its_configuration(hub):
    hub.add("me/clip", contents(CLIP))
    assert clip_config("hf://me/clip") is None
    guide = load_clip("hf://me/clip", "cpu")
    assert guide.sha256 == load_clip("tiny", "cpu").sha256 and guide.name == "hf://me/clip"
    assert clip_config("hf://me/clip") == clip_config("tiny")
    assert guide.encode_text(["rain"]).shape == (1, guide.dim)


def test_a_daclip_is_loaded(hub):
    hub.add("me/guide", {"guide.safetensors": DACLIP.read_bytes()})
    guide = guides.load_daclip("hf://me/guide", "cpu")
    assert guide.dim == guides.load_daclip("tiny", "cpu").dim
    assert guide_width("hf://me/guide") == guide_width("tiny")


def test_prompts_are_loaded(hub, tmp_path):
    prompts = WeatherPrompts(torch.ones(4, 16, 8), "tiny", "0" * 64)
    prompts.save(tmp_path / "p.safetensors")
    hub.add("me/prompts", contents(tmp_path) | {"README.md": b"A card."})
    loaded = WeatherPrompts.load("hf://me/prompts/p.safetensors")
    assert torch.equal(loaded.embeddings, prompts.embeddings)
    assert WeatherPrompts.load(Path("hf://me/prompts")).clip == "tiny"


def test_a_rater_is_a_repository(hub):
    commit = hub.add("me/rater", {"config.json": b"{}", "model.safetensors": b"x"})
    model = find_model("hf://me/rater").model
    folder = local_folder(model)
    assert sorted(contents(folder)) == ["config.json", "model.safetensors"]
    assert identity(folder) == f"commit:{commit}" and portable_name(model) == "hf://me/rater"
    assert local_folder("hf://me/rater", commit) == folder
    with pytest.raises(WxrError, match="keep one"):
        local_folder("hf://me/rater@main", "v1")


def test_what_is_fetched_ahead_is_there_offline(hub, tiny, monkeypatch):
    hub.add("me/rater", {"config.json": b"{}", "model.safetensors": b"x"})
    find_prefetch("hf://me/rater").fetch()
    find_prefetch("hf://me/tiny/model.safetensors").fetch()
    forget()
    go_offline(monkeypatch)
    assert local_folder("hf://me/rater").is_dir()
    assert read_spec("hf://me/tiny").checkpoint.is_file()


def test_a_run_knows_a_file_by_its_content(hub, tiny, tmp_path):
    digests = FileDigests(tmp_path / "digests.json")
    assert digests.path("hf://me/tiny") == digests.path(TINY)


def test_mmengine_loads_a_reference(hub, tmp_path):
    from mmengine.runner.checkpoint import CheckpointLoader

    import wxr_plugin.mm.checkpoints  # noqa: F401

    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "a.pth")
    hub.add("me/mm", {"a.pth": (tmp_path / "a.pth").read_bytes()})
    content = CheckpointLoader.load_checkpoint("hf://me/mm", "cpu")
    assert torch.equal(content["state_dict"]["a"], torch.ones(2))


def test_a_snapshot_that_was_cut_is_completed(hub, tmp_path):
    hub.add("me/rater", {"config.json": b"{}", "model.safetensors": b"x"})
    folder = local_folder("hf://me/rater")
    (folder / "model.safetensors").unlink()
    shutil.rmtree(folder.parents[1] / "blobs")
    forget()
    assert sorted(contents(local_folder("hf://me/rater"))) == ["config.json", "model.safetensors"]
