"""`wxr daclip classify --compare`: accuracy by degradation next to plain CLIP's."""

import json
from pathlib import Path

import numpy as np
import pytest

from wxr_plugin.cli.daclip_compare import true_word
from wxr_plugin.cli.main import main
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import WxrError

WORDS = ["hazy", "rainy", "motion-blurry"]


@pytest.fixture
def sorted_photos(tmp_path):
    rng = np.random.default_rng(0)
    for word in ("hazy", "rainy"):
        for number in range(2):
            photo = rng.integers(0, 255, (64, 80, 3)).astype(np.uint8)
            write_image(tmp_path / "photos" / word / f"{number}.png", photo)
    return tmp_path / "photos"


def test_accuracy_of_both_is_printed_and_drawn(sorted_photos, tmp_path, capsys):
    chart = tmp_path / "accuracy.svg"
    call = ["daclip", "classify", str(sorted_photos), "--compare", "--chart", str(chart)]
    assert main([*call, "--words", *WORDS, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["accuracy"]
    assert [row["degradation"] for row in rows] == ["hazy", "rainy", "mean"]
    assert rows[-1]["photos"] == 4
    for name in ("CLIP", "DA-CLIP"):
        assert rows[-1][name] == pytest.approx((rows[0][name] + rows[1][name]) / 2)
        assert 0 <= rows[0][name] <= 1
    assert "DA-CLIP" in chart.read_text()


def test_plain_clip_differs_from_the_controller():
    import torch

    from wxr_plugin.conditioning.guides import load_daclip

    guide = load_daclip("tiny", "cpu")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain = guide.classify_without_controller(images, WORDS)
    assert plain.shape == (2, 3)
    assert plain.sum(1).allclose(torch.ones(2))
    assert not plain.allclose(guide.classify(images, WORDS), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "root", "word"),
    [
        ("hazy/1.png", "photos", "hazy"),
        ("motion_blurry/LQ/1.png", "photos", "motion-blurry"),
        ("1.png", "Rainy", "rainy"),
    ],
)
def test_folder_names_the_degradation(name, root, word):
    assert true_word(name, WORDS, Path(root)) == word


@pytest.mark.parametrize("name", ["1.png", "hazy/rainy/1.png", "holiday/1.png"])
def test_photo_without_one_degradation_is_refused(name):
    with pytest.raises(WxrError, match="as the name of its folder"):
        true_word(name, WORDS, Path("photos"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chart", "a.svg"], "add --compare"),
        (["--compare", "--chart", "a.png"], "an SVG"),
        (["--compare", "--csv", "a.csv"], "--csv is for the words"),
    ],
)
def test_wrong_options(sorted_photos, capsys, options, message):
    assert main(["daclip", "classify", str(sorted_photos), *options]) == 2
    assert message in capsys.readouterr().err
