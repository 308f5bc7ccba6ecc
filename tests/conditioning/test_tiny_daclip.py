"""The packaged tiny DA-CLIP names degradations that the plain tiny CLIP does not."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from wxr_plugin.cli.main import main
from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.daclip import TINY
from wxr_plugin.conditioning.guides import load_daclip
from wxr_plugin.data.degradations.apply import degrade, severity_range
from wxr_plugin.data.images.io import write_image

WORDS = ["motion-blurry", "hazy", "low-light", "noisy", "rainy", "snowy", "uncompleted"]


def degraded(word: str) -> torch.Tensor:
    """Return views of three photos with medium degradation, (3, 3, 128, 128) in [0, 1]."""
    severity = float(np.mean(severity_range(word)))
    photos = (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee())
    views = []
    for number, photo in enumerate(photos):
        side = min(photo.shape[:2])
        small = cv2.resize(photo[:side, :side], (128, 128), interpolation=cv2.INTER_AREA)
        view = small.astype(np.float32) / 255
        image = degrade(view, word, severity, np.random.default_rng(number)).clip(0, 1)
        views.append(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float())
    return torch.stack(views)


def test_it_is_packaged_and_small():
    assert TINY.is_file() and TINY.stat().st_size < 5e6
    card = TINY.with_name("README.md").read_text(encoding="utf-8")
    assert "plain tiny CLIP" in card and "train_tiny_daclip.py" in card


@pytest.mark.parametrize("photo", range(3))
def test_it_names_degradations_that_the_plain_clip_does_not(photo):
    guide, plain = load_daclip("tiny", "cpu"), load_clip("tiny", "cpu")
    texts = plain.encode_text(WORDS)
    images = torch.stack([degraded(word)[photo] for word in WORDS])
    own = torch.arange(len(WORDS))
    hits = (guide.classify(images, WORDS).argmax(1) == own).sum()
    assert hits >= len(WORDS) - 1
    assert (plain.encode_image(images) @ texts.T).argmax(1).eq(own).sum() < hits - 1


def test_the_command_uses_it_by_default(tmp_path, capsys):
    noisy = (255 * degraded("noisy")[0]).round().byte().permute(1, 2, 0).numpy()
    write_image(tmp_path / "street.png", noisy)
    assert main(["daclip", "classify", str(tmp_path / "street.png")]) == 0
    assert "noisy" in capsys.readouterr().out
