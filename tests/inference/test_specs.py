import numpy as np
import pytest
import torch
from basicsr.archs import build_network

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import TINY
from wxr_plugin.inference.restorer import RestoreError, Restorer
from wxr_plugin.inference.specs import read_spec

NETWORK = {
    "type": "MSBDN",
    "width": 4,
    "bottleneck_blocks": 1,
    "stage_blocks": 1,
    "global_residual": True,
}
PHOTO = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
TRAINING = """
name: mine
model_type: WxrModel
num_gpu: 0
network_g: {type: MSBDN, width: 4, bottleneck_blocks: 1, stage_blocks: 1, global_residual: true}
path:
  pretrain_network_g: WEIGHTS
  EXTRA
datasets: {train: {name: t, type: PairedWeatherDataset}}
train: {total_iter: 10}
"""


def weights(seed):
    torch.manual_seed(seed)
    return build_network(dict(NETWORK)).state_dict()


@pytest.fixture
def checkpoint(tmp_path):
    torch.save(
        {"params": weights(0), "params_ema": weights(1), "network_g": NETWORK},
        tmp_path / "net_g.pth",
    )
    return tmp_path / "net_g.pth"


def option_file(folder, checkpoint, extra="strict_load_g: true"):
    (folder / "mine.yml").write_text(
        TRAINING.replace("WEIGHTS", str(checkpoint)).replace("EXTRA", extra)
    )
    return folder / "mine.yml"


def restored(spec):
    return spec.load(device="cpu").restore(PHOTO)


def by_hand(seed):
    net = build_network(dict(NETWORK))
    net.load_state_dict(weights(seed))
    return Restorer(net, "cpu").restore(PHOTO)


def test_a_checkpoint_is_named_by_its_file_or_as_told(checkpoint):
    assert (
        read_spec(str(checkpoint)).name == "net_g"
        and read_spec(f"mine={checkpoint}").name == "mine"
    )
    assert np.array_equal(restored(read_spec(str(checkpoint))), by_hand(1))
    assert (read_spec("tiny").name, read_spec("tiny").checkpoint) == ("tiny", TINY)
    assert read_spec("packaged=tiny").name == "packaged"


def test_a_path_with_an_equals_sign_is_a_path(checkpoint, tmp_path):
    (tmp_path / "lr=1").mkdir()
    checkpoint.rename(tmp_path / "lr=1" / "net_g.pth")
    assert read_spec(str(tmp_path / "lr=1" / "net_g.pth")).name == "net_g"


@pytest.mark.parametrize(
    ("extra", "seed"),
    [("strict_load_g: true", 0), ("param_key_g: params_ema", 1), ("param_key_g: params", 0)],
)
def test_an_option_file_says_network_and_weights_as_in_basicsr(checkpoint, tmp_path, extra, seed):
    spec = read_spec(str(option_file(tmp_path, checkpoint, extra)))
    assert spec.name == "mine" and np.array_equal(restored(spec), by_hand(seed))


def test_a_bare_state_dict_needs_the_option_file(tmp_path):
    torch.save(weights(3), tmp_path / "bare.pth")
    with pytest.raises(WxrError, match=r"does not say which network.*give an option file"):
        read_spec(str(tmp_path / "bare.pth"))
    assert np.array_equal(
        restored(read_spec(str(option_file(tmp_path, tmp_path / "bare.pth")))), by_hand(3)
    )


def test_without_strictness_parameters_may_be_missing(checkpoint, tmp_path):
    part = dict(list(weights(0).items())[:-1])
    torch.save({"params": part}, tmp_path / "part.pth")
    with pytest.raises(WxrError, match="does not fit the network MSBDN"):
        restored(read_spec(str(option_file(tmp_path, tmp_path / "part.pth"))))
    loose = read_spec(str(option_file(tmp_path, tmp_path / "part.pth", "strict_load_g: false")))
    assert restored(loose).shape == PHOTO.shape


def test_plugins_of_the_option_file_are_imported(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec_plugin.py").write_text(
        "import torch\nfrom basicsr.utils.registry import ARCH_REGISTRY\n"
        "@ARCH_REGISTRY.register()\nclass SpecPluginNet(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.gain = "
        "torch.nn.Parameter(torch.ones(1))\n"
        "    def forward(self, x):\n        return x * self.gain\n"
    )
    torch.save({"params": {"gain": torch.tensor([0.0])}}, tmp_path / "zero.pth")
    text = (
        "plugins: [spec_plugin]\nnetwork_g: {type: SpecPluginNet}\n"
        "path: {pretrain_network_g: zero.pth}\n"
    )
    (tmp_path / "plugin.yml").write_text(text)
    assert (restored(read_spec("plugin.yml")) == 0).all()


def test_the_digest_tells_weights_networks_and_settings_apart(checkpoint, tmp_path):
    spec = read_spec(str(checkpoint))
    digests = {
        spec.digest(tile=64),
        spec.digest(tile=32),
        read_spec(str(option_file(tmp_path, checkpoint))).digest(tile=64),
    }
    assert read_spec(f"other={checkpoint}").digest(tile=64) == spec.digest(tile=64)
    torch.save({"params": weights(2), "network_g": NETWORK}, checkpoint)
    digests.add(spec.digest(tile=64))
    assert len(digests) == 4


def test_results_that_are_no_image_are_refused(checkpoint):
    broken = {name: torch.full_like(value, torch.nan) for name, value in weights(0).items()}
    torch.save({"params": broken, "network_g": NETWORK}, checkpoint)
    with pytest.raises(RestoreError, match="NaN"):
        restored(read_spec(str(checkpoint)))
    with pytest.raises(RestoreError, match="60x40 pixels of 30x20"):
        Restorer(torch.nn.Upsample(scale_factor=2), "cpu").restore(PHOTO)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none.pth", "none.pth: no such file; a restorer is a checkpoint"),
        ("mine=none.pth", "none.pth: no such file"),
        ("mine=mirnet-lol", r"model_lol\.pth: no such file; fetch it from https"),
        ("{folder}", "a folder; a restorer is a checkpoint"),
        ("{folder}/no_network.yml", "has no network_g block"),
        (
            "{folder}/no_weights.yml",
            "does not say which weights to restore with: set path.pretrain_network_g",
        ),
        ("{folder}/gone.yml", "path.pretrain_network_g: gone.pth: no such file"),
        ("{folder}/broken.yml", "not an option file"),
        ("{folder}/broken.pth", "no checkpoint, or a broken one"),
        ("{folder}/broken.safetensors", "not a safetensors file"),
    ],
)
def test_what_names_no_restorer_is_one_line(tmp_path, text, message):
    (tmp_path / "no_network.yml").write_text("name: a\n")
    (tmp_path / "no_weights.yml").write_text("network_g: {type: MSBDN}\npath: {}\n")
    (tmp_path / "gone.yml").write_text(
        "network_g: {type: MSBDN}\npath: {pretrain_network_g: gone.pth}\n"
    )
    for suffix in ("yml", "pth", "safetensors"):
        (tmp_path / f"broken.{suffix}").write_text("a: [")
    with pytest.raises(WxrError, match=message) as error:
        read_spec(text.format(folder=tmp_path))
    assert "\n" not in str(error.value)
