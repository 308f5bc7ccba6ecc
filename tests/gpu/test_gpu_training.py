"""Options of `train` on a device: what each is for happens, and the result is the plain one's."""

import pytest
import torch
from torch.utils.data import DataLoader
from toy_training import batches, everything, train

from wxr_plugin.checkpoints.containers import load_state

pytestmark = pytest.mark.gpu

PLAIN = {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.01, "fused": False}


def weights(model):
    return torch.cat(
        [p.detach().float().cpu().flatten() for p in model.get_bare_model(model.net_g).parameters()]
    )


def losses(model, data):
    """Train on `data` and return the loss of each batch."""
    seen = []
    for iteration, batch in enumerate(data, 1):
        train(model, [batch], iteration)
        seen.append(model.log_dict["l_pix"])
    return seen


def test_the_network_and_the_batch_are_on_the_device(build, device):
    model = build()
    train(model, batches(1))
    tensors = [model.lq, model.gt, model.output, *model.net_g.parameters()]
    assert {tensor.device.type for tensor in tensors} == {device.type}


def test_prefetched_batches_are_those_of_the_loader(device):
    from basicsr.data.prefetch_dataloader import CPUPrefetcher, CUDAPrefetcher

    items = [
        {"lq": torch.full((3, 4, 4), float(number)), "lq_path": f"{number}.png"}
        for number in range(5)
    ]
    loader = DataLoader(items, batch_size=2, pin_memory=device.type == "cuda")
    prefetcher = (
        CUDAPrefetcher(loader, {"num_gpu": 1}) if device.type == "cuda" else CPUPrefetcher(loader)
    )
    for _ in range(2):
        prefetcher.reset()
        for expected in loader:
            batch = prefetcher.next()
            assert (
                batch["lq"].device.type == device.type and batch["lq_path"] == expected["lq_path"]
            )
            assert torch.equal(batch["lq"].cpu(), expected["lq"])
        assert prefetcher.next() is None


def test_fused_adamw_is_the_default_on_cuda_and_equals_the_plain_one(build, device):
    fused = {} if device.type == "cuda" else {"optim_g": PLAIN | {"fused": True}}
    model, plain = build(**fused), build(optim_g=PLAIN)
    assert (
        model.optimizer_g.defaults["fused"] is True and plain.optimizer_g.defaults["fused"] is False
    )
    for trained in (model, plain):
        train(trained, batches(6))
    torch.testing.assert_close(weights(model), weights(plain), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_half_precision_trains_float32_weights_and_follows_float32(build, amp):
    model, exact = build(amp=amp), build()
    ours, expected = losses(model, batches(8)), losses(exact, batches(8))
    assert {p.dtype for p in model.net_g.parameters()} == {torch.float32}
    assert model.scaler.is_enabled() == (amp == "fp16")
    assert ours[-1] < ours[0]
    assert ours == pytest.approx(expected, rel=0.03) and ours != expected


def test_an_overflow_of_fp16_halves_the_scale_and_changes_nothing_else(build):
    model = build(amp="fp16", ema_decay=0.9)
    train(model, batches(2))
    scale, nets = model.scaler.get_scale(), everything(model)[:2]
    bad = batches(1, seed=2)
    bad[0]["lq"][:] = 1e6  # infinite in fp16
    train(model, bad, 3)
    assert model.scaler.get_scale() == scale / 2
    for before, after in zip(nets, everything(model)[:2]):
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_channels_last_lays_out_weights_and_images_and_computes_the_same(build):
    model, plain = build(channels_last=True, ema_decay=0.9), build(ema_decay=0.9)
    for trained in (model, plain):
        train(trained, batches(4))
    images = [model.lq, model.gt, *(p for p in model.net_g.parameters() if p.dim() == 4)]
    assert all(image.is_contiguous(memory_format=torch.channels_last) for image in images)
    torch.testing.assert_close(weights(model), weights(plain), rtol=1e-3, atol=1e-5)


def test_compiled_training_computes_the_same(build, device):
    """Kernels are compiled on CUDA alone: on a CPU that takes minutes."""
    torch.compiler.reset()
    model, plain = build(compile=True if device.type == "cuda" else {"backend": "eager"}), build()
    for trained in (model, plain):
        train(trained, batches(4))
    assert list(model.net_g.state_dict()) == list(plain.net_g.state_dict())
    torch.testing.assert_close(weights(model), weights(plain), rtol=1e-3, atol=1e-5)
    torch.compiler.reset()


@pytest.mark.parametrize("amp", [None, "bf16", "fp16"])
def test_a_resumed_run_ends_where_one_that_was_left_alone_ends(build, device, tmp_path, amp):
    """With dropout, running statistics and EMA; bit-equal on a CPU, within rounding on CUDA."""
    settings = {"net": {"norm": True, "dropout": 0.2}, "ema_decay": 0.9, "amp": amp}
    data = batches(6, size=4)
    straight = build(**settings)
    torch.manual_seed(5)
    train(straight, data[:3])
    straight.save(0, 3)
    train(straight, data[3:], 4)
    resumed = build(**settings)
    resumed.resume_training(load_state(tmp_path / "training_states" / "3.state"))
    train(resumed, data[3:], 4)
    near = {"rtol": 0, "atol": 0} if device.type == "cpu" else {"rtol": 1e-3, "atol": 2e-4}
    for name, value in straight.net_g.state_dict().items():
        torch.testing.assert_close(resumed.net_g.state_dict()[name], value, **near)
    for name, value in straight.net_g_ema.state_dict().items():
        torch.testing.assert_close(resumed.net_g_ema.state_dict()[name], value, **near)
    assert resumed.scaler.state_dict() == straight.scaler.state_dict()
