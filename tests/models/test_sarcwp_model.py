"""SarCwpModel: masks that learn, projectors, pictures, and what is refused before training."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from toy_training import assert_equal, everything, train

from wxr_plugin.archs.context import Context
from wxr_plugin.conditioning.clip import ClipError, load_clip
from wxr_plugin.errors import OptionError
from wxr_plugin.models.sarcwp_model import mask_picture

NET = {
    "type": "SARCWP",
    "width": 4,
    "enc_blk_nums": [1, 1, 1, 1],
    "dec_blk_nums": [1, 1, 1],
    "context": [],
}
SRD = {"type": "ClipSRDLoss", "clip": "tiny", "layers": [1, 1, 2, 3], "loss_weight": 1.0}


@pytest.fixture
def made(options):
    """A model with the loss on the masks, with changes to network, loss and training set."""

    def make(net=None, srd=None, data=None, guide=None, view="crop", val=None, **settings):
        opt = options(
            model="SarCwpModel", net=None, val=val, srd_opt={**SRD, **(srd or {})}, **settings
        )
        opt["network_g"] = {**NET, **(net or {})}
        opt["datasets"]["train"] = {
            "phase": "train",
            "type": "PairedWeatherDataset",
            **(data or {}),
        }
        if guide:
            opt["guide"] = {"model": guide, "view": view, "cache_mb": 1 if view == "photo" else 0}
        torch.manual_seed(0)
        return build_model(opt)

    return make


def batch(count: int = 2, size: int = 64) -> dict:
    """Photos that are white on the left."""
    gt = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(count))
    lq = gt.clone()
    lq[..., : size // 2] = 1
    return {"lq": lq, "gt": gt, "lq_path": [f"{i}.png" for i in range(count)]}


def test_the_masks_learn_where_the_photo_is_degraded(made):
    model = made()
    train(model, [batch()] * 25)
    assert model.log_dict["l_srd"] > 0 and set(model.log_dict) == {"l_pix", "l_srd"}
    mask = torch.stack(model.masked.masks).mean(0)
    assert mask[..., :20].mean() > mask[..., 28:].mean() + 0.2
    assert model.masked.restored.shape == model.lq.shape and model.net_p is None


def test_losses_are_float32_under_autocast(made):
    model = made(srd={"variant": "both"}, amp="bf16")
    train(model, [batch()])
    assert model.masked.masks[0].dtype == torch.bfloat16 and model.output.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in model.net_g.parameters())


def test_without_the_loss_it_trains_as_wxr_model(options):
    states = []
    for kind in ("SarCwpModel", "WxrModel"):
        opt = options(model=kind)
        opt["network_g"] = dict(NET)
        torch.manual_seed(0)
        model = build_model(opt)
        train(model, [batch()] * 2)
        states.append(everything(model))
    assert_equal(*states)


def test_the_prior_of_plain_clip_steers_it(made):
    model = made({"context": ["image"], "context_dim": 64}, guide="tiny", ema_decay=0.9)
    assert model.guide is load_clip("tiny", "cpu")
    train(model, [batch()])
    expected = model.guide.embed(model.lq)
    assert torch.equal(model.context(model.lq).image, expected.image)
    model.test()
    with torch.no_grad():
        assert torch.equal(
            model.output, model.net_g_ema.eval()(model.lq, Context(image=expected.image))
        )
    assert model.network_metadata()["guide"]["model"] == "tiny"


def test_whole_photos_are_embedded_once_and_kept(made, monkeypatch):
    model = made(
        {"context": ["image"], "context_dim": 64},
        guide="tiny",
        data={"guide_size": 128},
        view="photo",
    )
    seen, real = [], type(model.guide).embed
    monkeypatch.setattr(
        type(model.guide), "embed", lambda *given: seen.append(len(given[1])) or real(*given)
    )
    whole = torch.rand(2, 3, 128, 128)
    for keys in (["a", "b"], ["b", "a"], ["a", "c"]):
        photos = torch.stack([whole["abc".index(key) % 2] for key in keys])
        train(model, [batch() | {"lq_guide": photos, "lq_guide_key": keys}])
    assert seen == [2, 1]
    expected = real(model.guide, whole[:1]).image
    torch.testing.assert_close(model.context(model.lq).image, expected.expand(2, -1))


@pytest.mark.parametrize("variant", ["feature", "both"])
def test_projectors_learn_and_are_resumed(made, tmp_path, variant):
    model = made(srd={"variant": variant})
    train(model, [batch()])
    before = copy.deepcopy(model.net_p.state_dict())
    train(model, [batch()], start=2)
    assert not torch.equal(before["stages.0.weight"], model.net_p.state_dict()["stages.0.weight"])
    model.save(0, 10)
    again = made(srd={"variant": variant})
    again.opt["path"]["resume_state"] = str(tmp_path / "training_states" / "10.state")
    again.resume_training(torch.load(again.opt["path"]["resume_state"], weights_only=False))
    assert_equal(again.net_p.state_dict(), model.net_p.state_dict())
    train(again, [batch()], start=11)
    train(model, [batch()], start=11)
    assert_equal(everything(again), everything(model))
    saved = torch.load(tmp_path / "models" / "net_g_10.pth", weights_only=True)
    assert not any(key == "stages.0.weight" for key in saved["params"])


def test_pictures_of_masks_lie_beside_the_images(made, photos, tmp_path):
    pairs, _ = photos
    model = made(val=[pairs])
    model.opt["val"] |= {"save_img": True, "save_masks": True}
    opt = model.opt["datasets"]["val_0"]
    loader = build_dataloader(build_dataset(opt), opt, num_gpu=0, seed=None)
    model.iteration = 5
    model.validation(loader, 5, None, True)
    folder = tmp_path / "visualization" / "pairs"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"photo{i}_5{end}.png" for i in range(3) for end in ("", "_masks")
    ]
    picture = cv2.imread(str(folder / "photo1_5_masks.png"))
    assert picture.shape == (14, 6 * 17, 3)  # the photo, the mean, four stages
    assert np.array_equal(picture[:, :17], cv2.imread(str(tmp_path / "lq" / "photo1.png")))


def test_a_picture_is_red_where_the_mask_is_high():
    lq, mask = torch.zeros(1, 3, 4, 6), torch.zeros(1, 1, 4, 6)
    mask[..., 3:] = 1
    picture = mask_picture(lq, [mask, mask * 0.1])
    assert picture.shape == (4, 24, 3) and not picture[:, :6].any()
    blue, _, red = picture[0, 6]
    assert blue > red
    blue, _, red = picture[0, 11]
    assert red > blue
    assert picture[0, 12:18, 0].tolist() == picture[0, 18:, 0].tolist() == [0] * 3 + [255] * 3


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"net": {"sar": None}}, OptionError, r"SARCWP\) has none: set network_g.sar: spatial"),
        (
            {"srd": {"layers": [1, 2]}},
            OptionError,
            r"names 2 layers, and network_g \(SARCWP\) has 4 masks",
        ),
        (
            {"data": {"gt_size": 24}},
            OptionError,
            "gt_size: images of 24 pixels are too small for layer 3 .*at least 64",
        ),
        ({"srd": {"clip": "RN51:openai"}}, ClipError, "unknown CLIP 'RN51:openai'"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(made, settings, error, message):
    with pytest.raises(error, match=message):
        made(**settings)


def test_a_batch_without_clean_images_is_refused(made):
    model = made(data={"type": "Foreign"})
    only = batch()
    del only["gt"]
    before = everything(model)
    with pytest.raises(OptionError, match=r"datasets.train \(Foreign\) yields no gt: use pairs"):
        train(model, [only])
    assert_equal(before, everything(model))


def test_the_photos_of_a_checkpoint_are_restored_with_its_clip(made, tmp_path):
    from wxr_plugin.inference.restorer import Restorer

    model = made({"context": ["image"], "context_dim": 64}, guide="tiny")
    train(model, [batch()] * 2)
    model.save(0, 10)
    restorer = Restorer.from_checkpoint(
        Path(tmp_path) / "models" / "net_g_10.pth", device="cpu", tile=32, overlap=8
    )
    photo = np.random.default_rng(0).integers(0, 256, (40, 44, 3), dtype=np.uint8)
    restored = restorer.restore(photo)
    assert restored.shape == photo.shape and not restorer.names_degradations
    given = Restorer(restorer.net, "cpu", tile=32, overlap=8)
    assert np.array_equal(given.restore(photo, restorer.seen), restored) and given.guide is None


def test_masks_go_through_ddp(made, tmp_path):
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    net, image = made().net_g, batch()["lq"]
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        masked = DistributedDataParallel(net)(image, masks=True)
        torch.testing.assert_close(masked.masks, net(image, masks=True).masks)
        (masked.restored.mean() + sum(mask.mean() for mask in masked.masks)).backward()
        assert all(p.grad is not None for p in net.parameters())
    finally:
        dist.destroy_process_group()
