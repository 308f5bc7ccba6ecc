"""FID in validation: ground truth is looked at once."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset

from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.metrics import fid_features

CPU = torch.device("cpu")
FID = {"type": "calculate_fid", "device": "cpu", "better": "lower"}


@pytest.fixture
def seen(monkeypatch):
    """How many images each call of the small Inception got."""
    monkeypatch.setattr(fid_features, "load_inception", fid_features.load_inception)  # is put back
    toys = importlib.reload(importlib.import_module("fid_toys"))
    fid_features.CACHE.clear()
    yield toys.SEEN
    fid_features.CACHE.clear()


def validated(model, iteration):
    (block,) = model.opt["datasets"].values()
    loader = build_dataloader(build_dataset(block), block, num_gpu=0, seed=None)
    model.nondist_validation(loader, iteration, None, save_img=False)
    return model.metric_results


def test_the_second_validation_looks_at_results_alone(build, photos, seen):
    pairs = {**photos[0], "metrics": {"fid": FID, "fid_cut": {**FID, "crop_border": 2}}}
    model = build(val=[pairs])
    first = validated(model, 0)
    assert sum(seen) == 3 * 3 * 2 and first["fid"] > 0, (
        "results, ground truth and, once, the photos as they are"
    )
    seen.clear()
    assert validated(model, 1) == first and sum(seen) == 3 * 2
    seen.clear()

    changed = Path(pairs["dataroot_gt"]) / "photo1.png"
    write_image(changed, np.rot90(read_image(changed), 2))
    second = validated(model, 2)
    assert sum(seen) == 3 * 2 + 2, "the photo that was changed is looked at again"
    assert second["fid"] != first["fid"]


def test_what_is_kept_is_of_one_network_one_mode_and_one_shape(seen):
    image = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)

    def kept(image, weights="a", mode="clean"):
        return fid_features.cached_features(weights, CPU, image, mode)

    first = kept(image)
    assert np.array_equal(kept(image.copy()), first) and sum(seen) == 1
    assert np.array_equal(
        first, fid_features.features(fid_features.load_inception("a", CPU), [image])[0]
    )
    seen.clear()
    others = [
        kept(image, "b"),
        kept(image, mode="legacy_pytorch"),
        kept(image.reshape(6, 8, 3)),
        kept(image[::-1]),
    ]
    assert sum(seen) == 4 and not any(np.array_equal(features, first) for features in others[1:])
    assert kept(image).dtype == np.float32 and fid_features.CACHE.bytes == 5 * first.nbytes
