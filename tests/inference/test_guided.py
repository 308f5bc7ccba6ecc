"""Restorers with a guide, and sampled ones: from a checkpoint and from the command line."""

import json
import re

import numpy as np
import pytest
import torch

from wxr_plugin.archs.conditional_unet_arch import ConditionalUNet
from wxr_plugin.archs.nafnet_arch import NAFNet
from wxr_plugin.archs.sarcwp_arch import SARCWP
from wxr_plugin.checkpoints.containers import save_state
from wxr_plugin.checkpoints.fitting import network_shapes
from wxr_plugin.cli.main import main
from wxr_plugin.conditioning.clip import build_clip, load_clip
from wxr_plugin.conditioning.daclip import DaCLIP
from wxr_plugin.conditioning.guides import load_daclip
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.inference.specs import method_spec
from wxr_plugin.sampling.options import SamplingOptions
from wxr_plugin.zoo.rows import find_row

UNET = {"type": "ConditionalUNet", "nf": 8, "ch_mult": [1, 2], "context": ["degradation"]}
NAF = {"type": "NAFNet", "width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]}


def shaken(net: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write guide.pth; unet.pth, sampled, which names its guide; naf.pth, which does not."""
    folder = tmp_path_factory.mktemp("guided")
    torch.manual_seed(0)
    guide = folder / "guide.pth"
    weights = DaCLIP(*build_clip("tiny")).state_dict()
    torch.save({"state_dict": weights, "network_g": {"type": "DaCLIP", "clip": "tiny"}}, guide)
    dim = {"context_dim": load_daclip(str(guide)).dim}
    parts = {"guide": {"model": str(guide)}, "sde": {"steps": 4, "max_sigma": 50}}
    options = [{**UNET, **dim}, {**NAF, **dim, "context": ["degradation"]}]
    for name, net, block, more in zip(
        ("unet", "naf"), (ConditionalUNet, NAFNet), options, (parts, {})
    ):
        made = shaken(net(**{key: value for key, value in block.items() if key != "type"}))
        save_state(
            folder / f"{name}.pth", {"params": made.state_dict(), "network_g": block, **more}
        )
    wide = {**NAF, "context": ["degradation"], "context_dim": 7}
    made = NAFNet(**{key: value for key, value in wide.items() if key != "type"})
    save_state(
        folder / "wide.pth",
        {"params": made.state_dict(), "network_g": wide, "guide": {"model": str(guide)}},
    )
    (folder / "wide.yml").write_text(json.dumps({"network_g": wide}))
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_image(
            folder / "photos" / f"{name}.png", rng.integers(0, 256, (40, 52, 3), dtype=np.uint8)
        )
    return folder


@pytest.fixture
def photo(folder):
    return read_image(folder / "photos" / "a.png")


def test_a_checkpoint_tells_its_guide_and_its_equation(folder, photo):
    restorer = Restorer.from_checkpoint(folder / "unet.pth", device="cpu")
    assert restorer.guide is load_daclip(str(folder / "guide.pth"), "cpu")
    assert np.array_equal(restorer.restore(photo), restorer.restore(photo))
    word, chance = restorer.degradation()
    assert word in DEGRADATIONS and 0.1 <= chance <= 1


def test_the_seed_and_the_steps_count(folder, photo):
    def restored(**how) -> np.ndarray:
        sampling = SamplingOptions(**how)
        return Restorer.from_checkpoint(
            folder / "unet.pth", device="cpu", sampling=sampling
        ).restore(photo)

    same, reseeded, fewer = restored(), restored(seed=1), restored(steps=2)
    assert np.array_equal(same, restored(seed=0, steps=4))
    assert not np.array_equal(same, reseeded) and not np.array_equal(same, fewer)


def test_tiles_see_the_embedding_of_the_whole_photo(folder, photo):
    guide = str(folder / "guide.pth")
    restorer = Restorer.from_checkpoint(
        folder / "naf.pth", device="cpu", guide=guide, tile=32, overlap=8
    )
    seen = []
    restorer.net.register_forward_pre_hook(lambda net, inputs: seen.append(inputs))
    restorer.restore(photo)
    whole = restorer.guide.embed(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255)
    assert len(seen) == 4 and all(
        torch.equal(context.degradation, whole.degradation) for _, context in seen
    )


def test_frames_share_their_noise(folder):
    still = np.full((24, 24, 3), 90, np.uint8)
    moved = still.copy()
    moved[20:, 20:] = 200
    apart, shared = (Restorer.from_checkpoint(folder / "unet.pth", device="cpu") for _ in range(2))
    shared.diffusion = shared.diffusion.checked(same_noise=True)
    change = [
        np.abs(r.restore(still)[:8, :8].astype(int) - r.restore(moved)[:8, :8]).mean()
        for r in (apart, shared)
    ]
    assert change[1] < change[0] / 3


def test_the_command_tells_what_it_took_for_the_degradation(folder, tmp_path, capsys):
    photos = str(folder / "photos")
    assert (
        main(
            [
                "restore",
                photos,
                "-o",
                str(tmp_path / "one"),
                "--checkpoint",
                str(folder / "unet.pth"),
            ]
        )
        == 0
    )
    printed = capsys.readouterr()
    said = printed.out + printed.err  # the progress, which names the degradation, is on stderr
    assert any(f"a.png: {word} " in said for word in DEGRADATIONS) and "2 photos restored" in said
    again = [
        "restore",
        photos,
        "-o",
        str(tmp_path / "two"),
        "--checkpoint",
        str(folder / "unet.pth"),
        "--seed",
        "7",
    ]
    assert main(again) == 0
    first, second = (read_image(tmp_path / name / "a.png") for name in ("one", "two"))
    assert first.shape == (40, 52, 3) and not np.array_equal(first, second)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--checkpoint", "naf.pth"], "is steered by degradation: add --guide"),
        (["--checkpoint", "naf.pth", "--guide", "guide.pth", "--seed", "1"], "this one is not"),
        (
            ["--checkpoint", "unet.pth", "--steps", "5"],
            "takes 5 steps, but the network was trained on a schedule of 4",
        ),
        (["--checkpoint", "unet.pth", "--steps", "0"], "--steps 0: take 1 or more"),
        (["--checkpoint", "unet.pth", "--seed", "-1"], "--seed -1: take 0 or more"),
        (["--checkpoint", "naf.pth", "--guide", "naf.pth"], "naf.pth: holds no DA-CLIP"),
        (["--checkpoint", "wide.pth"], "gives embeddings of length 64, the network takes 7"),
        (
            ["--checkpoint", "naf.pth", "--opt", "wide.yml"],
            r"is \(256, 64\) in the file and \(256, 7\) in the network",
        ),
        (
            ["--checkpoint", "guide.pth"],
            "DaCLIP does not restore photos: .* give it with --guide",
        ),
        (["--checkpoint", "tiny", "--guide", "guide.pth"], "takes no context"),
        (["--method", "daclop"], "did you mean daclip"),
        (["--method", "daclip"], "universal-ir.pth: no such file; fetch it from https"),
        (
            ["--method", "daclip", "--checkpoint", "unet.pth"],
            "unet.pth does not fit the network of daclip",
        ),
        (
            ["--method", "daclip", "--checkpoint", "naf.pth", "--guide", "guide.pth"],
            "does not fit the network",
        ),
    ],
)
def test_wrong_words_are_told(folder, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    assert main(["restore", "photos", "-o", str(tmp_path / "out"), *words]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(message, said), said
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_refused(folder):
    with pytest.raises(WxrError, match="predicts noise, and no `sde`"):
        Restorer(ConditionalUNet(nf=8, ch_mult=[1, 2]), "cpu")
    with pytest.raises(WxrError, match="gives embeddings of length 64, the network takes 5"):
        Restorer(
            NAFNet(4, [1], 1, [1], context=["degradation"], context_dim=5),
            "cpu",
            guide=load_daclip(str(folder / "guide.pth")),
        )


@pytest.mark.parametrize("name", ["daclip", "daclip-mix", "wild-daclip"])
def test_a_published_method_is_what_its_option_says(name, tmp_path, monkeypatch):
    row = find_row(name)
    weights = {part: torch.empty(shape) for part, shape in network_shapes(row.network_g).items()}
    torch.save(weights, tmp_path / row.file)
    spec = method_spec(name, tmp_path / row.file, "guide")
    assert (
        spec.guide == "guide"
        and spec.sde["steps"] == 100
        and spec.network["context_dim"] in (512, 768)
    )
    assert sum(tensor.numel() for tensor in weights.values()) > 40e6
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WxrError, match=rf"{row.guide}: no such file; fetch it from https.*--guide"):
        method_spec(name, tmp_path / row.file)
    (tmp_path / row.guide).touch()
    assert method_spec(name, tmp_path / row.file).guide == str(tmp_path / row.guide)


def test_a_network_with_clips_prior_is_restored_from_the_command_line(folder, tmp_path, capsys):
    block = {"type": "SARCWP", **SARCWP.smoke, "context_dim": 64}
    net = shaken(SARCWP(**{key: value for key, value in block.items() if key != "type"}))
    save_state(tmp_path / "cwp.pth", {"params": net.state_dict(), "network_g": block})
    words = [
        "restore",
        str(folder / "photos"),
        "-o",
        str(tmp_path / "out"),
        "--checkpoint",
        str(tmp_path / "cwp.pth"),
    ]
    assert main(words) == 2
    assert "is steered by image: add --guide with its CLIP" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main([*words, "--guide", "tiny"]) == 0
    assert "2 photos restored" in (said := capsys.readouterr().out) and "%" not in said
    whole = Restorer(net, "cpu", guide=load_clip("tiny", "cpu")).restore(
        read_image(folder / "photos" / "a.png")
    )
    assert np.array_equal(read_image(tmp_path / "out" / "a.png"), whole)


def test_known_embeddings_need_no_guide(photo, monkeypatch):
    clip, net = load_clip("tiny", "cpu"), shaken(SARCWP(**SARCWP.smoke | {"context_dim": 64}))
    guided = Restorer(net, "cpu", guide=clip)
    guided_result = guided.restore(photo)
    context = guided.seen
    monkeypatch.setattr(type(clip), "embed", lambda *given: pytest.fail("CLIP was run"))
    assert np.array_equal(guided.restore(photo, context), guided_result)
    image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    alone = Restorer(net, "cpu")
    torch.testing.assert_close(
        alone.restore_tensor(image, context), guided.restore_tensor(image, context)
    )
    with pytest.raises(
        WxrError, match="takes a context, and there is no guide: give one, or the photo's context"
    ):
        alone.restore(photo)
