"""Configs of options/mm: each is read; those without mmagic train on the packaged photos."""

from pathlib import Path

import pytest
import torch
from basicsr.archs import build_network
from mmengine.config import Config

from wxr_plugin.checkpoints.containers import save_state
from wxr_plugin.checkpoints.reading import read_dict
from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.prompts import fit
from wxr_plugin.mm import photos, train
from wxr_plugin.mm.mmagic_repair import is_installed
from wxr_plugin.mm.semi_supervised import read_options
from wxr_plugin.prompt_learning.photos import encode, list_photos

OPTIONS = Path(__file__).parents[2] / "options/mm"
CONFIGS = sorted(path.name for path in OPTIONS.glob("*.py"))
SHORT = {
    "train_cfg.max_iters": 2,
    "train_cfg.val_interval": 2,
    "train_dataloader.batch_size": 1,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
}


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder in which a user works, with the packaged photos; of the held-out ones two."""
    monkeypatch.chdir(tmp_path)
    photos.main(["datasets/photos"])
    for folder in ("gt", "lq"):
        for photo in sorted((tmp_path / "datasets/photos/held_out" / folder).iterdir())[2:]:
            photo.unlink()
    return tmp_path


def run(name, *words, **changes):
    options = [f"{key}={value}" for key, value in {**SHORT, **changes}.items()]
    return train.main([str(OPTIONS / name), *words, "--cfg-options", *options])


@pytest.mark.slow
def test_the_small_configs_train_one_after_the_other(work, capsys):
    assert run("tiny_supervised.py") == 0
    weights = work / "work_dirs/tiny_supervised/iter_2.pth"
    assert len(list((work / "work_dirs/tiny_supervised/visualization/held_out").iterdir())) == 2
    assert run("tiny_supervised.py", "--resume", **{"train_cfg.max_iters": 3}) == 0
    assert read_dict(weights.with_name("iter_3.pth"))["meta"]["iter"] == 3
    guide = load_clip("tiny")
    learnt = encode(list_photos({}, str(work / "datasets/photos/clear")), guide, crops=0)
    fit(learnt.features, learnt.classes, guide, range(5), lr=0.01).save(
        work / "datasets/photos/prompts.safetensors"
    )
    assert run("tiny_wresvlm.py", **{"model.pretrained": weights}) == 0
    assert read_dict(work / "work_dirs/tiny_wresvlm/iter_2.pth")["wxr_labels"]["rated"] > 0


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_whole(name):
    config = Config.fromfile(OPTIONS / name, import_custom_modules=False)
    bridge = config.default_scope == "mmagic"
    assert config.custom_imports.imports == [
        "wxr_plugin.mm.mmagic_bridge" if bridge else "wxr_plugin.mm"
    ]
    assert f"options/mm/{name}" in (OPTIONS / name).read_text()
    if config.model.type == "WxrSemiSupervised":
        read_options(config.model.wresvlm, config.model.pixel_loss)
    if not bridge:
        with torch.device("meta"):
            build_network(config.model.generator.to_dict())


@pytest.mark.skipif(is_installed(), reason="mmagic is here")
def test_without_mmagic_its_configs_say_what_to_install(capsys):
    assert run("mmagic_msbdn.py") == 2
    assert "mmagic is not installed: pip install" in capsys.readouterr().err


def test_what_a_user_gets_wrong_is_one_line(work, capsys):
    assert train.main(["none.py"]) == 2
    assert "none.py" in capsys.readouterr().err
    save_state(work / "net_g.pth", {"params": {"a": torch.ones(1)}})
    assert run("tiny_supervised.py", **{"load_from": "net_g.pth"}) == 2
    assert (
        "is a checkpoint of BasicSR (params), of which MMEngine would load nothing"
        in capsys.readouterr().err
    )
    assert run("tiny_supervised.py", **{"model.pretrained": "net_g.pth"}) == 2
    assert "net_g.pth does not fit the network MSBDN" in capsys.readouterr().err
    assert run("tiny_supervised.py", **{"train_dataloader.batch_size": 1000}) == 2
    assert "fill no batch of 1000" in capsys.readouterr().err
    assert (
        run("tiny_supervised.py", **{"train_dataloader.dataset.dataset.dataroot_gt": "gone"}) == 2
    )
    assert "gone" in capsys.readouterr().err
