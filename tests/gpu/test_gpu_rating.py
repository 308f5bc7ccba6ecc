"""Rating on a device: the packaged LLaVA in this process, in another, and in WResVLM's loop."""

import time

import pytest
import torch
from torch.testing import assert_close

from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.pseudo_labelling.rater_process import RaterProcess
from wxr_plugin.vlm.rater import build_rater

pytestmark = pytest.mark.gpu

PATIENCE = 300
"""Seconds that a rating process gets to answer."""


def photos():
    return [packaged_photo(name)[:128, :160] for name in ("chelsea", "coffee", "china")]


def rater(device, dtype):
    return build_rater({"model": "tiny", "device": str(device), "dtype": dtype})


def arrived(process):
    """Wait for the next message of a rating process."""
    deadline = time.monotonic() + PATIENCE
    while not (messages := process.messages()):
        assert time.monotonic() < deadline, "the rating never came"
        time.sleep(0.02)
    return messages[0]


def test_ratings_are_those_of_a_cpu(device):
    ours, expected = (rater(place, "float32").rate(photos()).rating for place in (device, "cpu"))
    assert_close(ours, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_rates_nearly_alike(device, dtype):
    if dtype == "float16" and device.type == "cpu":
        pytest.skip("float16 is for GPUs")
    ours, expected = (rater(device, kind).rate(photos()).rating for kind in (dtype, "float32"))
    assert_close(ours, expected, rtol=0, atol=0.1)


def test_training_autocast_does_not_change_a_rating(device):
    plain = rater(device, "float32").rate(photos()).rating
    with torch.autocast(device.type, torch.bfloat16):
        assert torch.equal(rater(device, "float32").rate(photos()).rating, plain)


def test_another_process_rates_on_the_device(device):
    block = {"model": "tiny", "device": str(device), "dtype": "float32"}
    process = RaterProcess(block, [])
    try:
        assert process.wait().provenance == build_rater(block).provenance
        process.send(photos())
        assert_close(
            torch.tensor([item.rating for item in arrived(process).ratings]),
            build_rater(block).rate(photos()).rating,
            rtol=0,
            atol=1e-3,
        )
    finally:
        process.stop()


@pytest.mark.parametrize("rating", [{}, {"async": {"batch": 2}}], ids=["waiting", "async"])
def test_the_loop_of_wresvlm_gets_ratings(build, device, tmp_path, rating):
    """Steps are made until a teacher's image was rated, which in another process takes a while."""
    model = build(
        model="WResVLMModel",
        ema_decay=0.9,
        pseudo_opt={"type": "PseudoLabelLoss", "loss_weight": 0.5},
        labels=str(tmp_path / "labels.lmdb"),
        rater={"model": "tiny", "device": str(device)},
        rating=rating,
    )
    crops = torch.stack(
        [torch.from_numpy(photo[:64, :64].copy()).permute(2, 0, 1) / 255 for photo in photos()]
    )
    names = ["a.png", "b.png", "c.png"]
    batch = {
        "lq": crops * 0.8,
        "gt": crops,
        "real": crops * 0.7,
        "lq_path": names,
        "real_key": names,
    }
    deadline, iteration = time.monotonic() + PATIENCE, 0
    try:
        while not model.labels.rated:
            assert time.monotonic() < deadline, "no rating came"
            iteration += 1
            model.feed_data(batch)
            model.optimize_parameters(iteration)
        assert set(model.labels.ratings) <= set(names) and model.labels.ratings
        assert model.labels.failures.count == 0
    finally:
        model.labels.close()
