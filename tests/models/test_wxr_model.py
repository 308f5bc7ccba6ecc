"""WxrModel in one process: each option has its effect, and no other."""

import logging
import math

import pytest
import torch
from basicsr.models import build_model
from toy_training import assert_equal, batches, everything, train

from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.errors import OptionError
from wxr_plugin.models.base.guard import NonFiniteError


def poisoned(batch):
    return {**batch, "lq": batch["lq"] * math.nan}


def test_without_options_it_trains_as_the_host_does(build):
    ours, host = build(ema_decay=0.9), build(model="SRModel", ema_decay=0.9)
    train(ours, batches(6))
    train(host, batches(6))
    assert_equal(everything(ours), everything(host))
    assert ours.get_current_log().keys() - {"compute_time"} == host.get_current_log().keys()


def test_accumulating_two_batches_is_one_batch_of_both(build):
    small, large = build(accumulate=2), build()
    halves = batches(2)
    before = everything(small)
    train(small, halves[:1])
    assert_equal(everything(small), before)
    train(small, halves[1:], start=2)
    train(large, [{key: torch.cat([h[key] for h in halves]) for key in ("lq", "gt")}])
    for a, b in zip(small.net_g.parameters(), large.net_g.parameters()):
        assert torch.allclose(a.grad, b.grad, rtol=0, atol=1e-6) and b.grad.abs().max() > 1e-3


def test_accumulation_does_not_leak_into_the_next_update(build):
    model = build(accumulate=2)
    data = batches(4)
    train(model, data)
    last = [p.grad.clone() for p in model.net_g.parameters()]
    fresh = build(accumulate=2)
    train(fresh, data[:2])
    train(fresh, data[2:], start=3)
    assert_equal(last, [p.grad for p in fresh.net_g.parameters()])


def test_checkpoints_between_two_updates_are_refused(build):
    with pytest.raises(OptionError, match=r"save_checkpoint_freq is 10 and train.accumulate 3"):
        build(accumulate=3)


def test_clipping_limits_the_norm(build):
    clipped, free = build(clip_grad=0.01), build()
    for model in (clipped, free):
        train(model, batches(1))
    norms = [
        torch.nn.utils.get_total_norm([p.grad for p in m.net_g.parameters()]).item()
        for m in (clipped, free)
    ]
    assert norms[0] == pytest.approx(0.01, rel=1e-3) and norms[1] > 0.02


@pytest.mark.parametrize(("amp", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_autocast_reaches_the_network_and_not_the_loss(build, amp, dtype):
    model, plain, start = build(amp=amp), build(), build()
    seen = []
    model.net_g.body[-1].register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )
    train(model, batches(3))
    train(plain, batches(3))
    assert seen == [dtype] * 3 and model.output.dtype == torch.float32
    nets = [made.net_g for made in (model, plain, start)]
    half, full, first = (
        torch.nn.utils.parameters_to_vector(net.parameters()).detach() for net in nets
    )
    assert half.dtype == torch.float32 and 0 < (half - full).norm() < 0.1 * (full - first).norm()


def test_fp16_overflow_lowers_the_scale_and_is_not_counted(build):
    loss = {"type": "L1Loss", "loss_weight": 1e36}
    model = build(
        amp="fp16",
        pixel_opt=loss,
        nan_guard={"stop_after": 1},
        ema_decay=0.9,
        model="ToyModel",
        trail=True,
    )
    before, scale = everything(model), model.scaler.get_scale()
    train(model, batches(1))
    assert_equal(everything(model), before)
    assert model.scaler.get_scale() == scale / 2 and model.guard.skipped == 0


def test_channels_last_is_a_matter_of_memory_only(build):
    model, plain = build(channels_last=True, ema_decay=0.9), build(ema_decay=0.9)
    train(model, batches(3))
    train(plain, batches(3))
    weights = [model.net_g.body[0].weight, model.net_g_ema.body[0].weight, model.lq]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
    for a, b in zip(model.net_g.parameters(), plain.net_g.parameters()):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_compiling_changes_neither_names_nor_results(build, tmp_path):
    model, plain = build(compile={"backend": "aot_eager"}, ema_decay=0.9), build(ema_decay=0.9)
    train(model, batches(2))
    train(plain, batches(2))
    for a, b in zip(model.net_g.parameters(), plain.net_g.parameters()):
        assert torch.allclose(a, b, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    model.save(-1, -1)
    assert list(load_weights(tmp_path / "models/net_g_latest.pth")) == list(
        plain.net_g.state_dict()
    )


def test_the_teacher_is_compiled_as_the_student_is(build):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    options = {"ema_decay": 0.9, "gate": "teacher", "pseudo_opt": {"type": "PseudoLabelLoss"}}
    model = build(model="WResVLMModel", compile={"backend": backend}, **options)
    (batch,) = batches(1)
    train(model, [{**batch, "real": torch.rand(2, 3, 12, 12), "real_key": ["a", "b"]}])
    assert len(graphs) == 2, "one of the student in training, one of the teacher in evaluation"


def test_modes_with_cuda_graphs_mark_the_start_of_each_update(build, monkeypatch):
    begun = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(True))
    train(build(compile={"mode": "reduce-overhead", "backend": "eager"}), batches(2))
    assert len(begun) == 2
    train(build(compile={"backend": "eager"}), batches(1))
    assert len(begun) == 2


def test_several_gpus_in_one_process_are_refused(options, monkeypatch):
    monkeypatch.setattr(
        "wxr_plugin.options.command_line.usable_gpus", lambda asked: asked
    )  # as on a machine with two
    opt = options()
    opt["num_gpu"] = 2
    with pytest.raises(OptionError, match=r"num_gpu is 2.*torchrun --nproc_per_node 2"):
        build_model(opt)


def test_adamw_decays_weights(build):
    model = build(optim_g={"type": "AdamW", "lr": 1e-2, "weight_decay": 0.5})
    assert type(model.optimizer_g) is torch.optim.AdamW and not model.optimizer_g.defaults["fused"]
    before = model.net_g.body[0].weight.norm().item()
    train(
        model,
        [{"lq": torch.zeros(1, 3, 8, 8), "gt": torch.zeros(1, 3, 8, 8), "lq_path": ["a"]}] * 3,
    )
    assert model.net_g.body[0].weight.norm().item() < before * 0.995


def test_cosine_ends_at_its_minimum_and_warmup_does_not_bend_it(build):
    cosine = {"type": "cosine", "eta_min": 1e-4}
    rates = train(build(scheduler=dict(cosine)), batches(21))
    expected = [1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * i / 20)) / 2 for i in range(21)]
    assert rates == pytest.approx(expected, rel=1e-6)
    warm = train(build(scheduler=dict(cosine)), batches(21), warmup=5)
    assert warm[:4] == pytest.approx([1e-2 * i / 5 for i in range(1, 5)]) and warm[
        4:
    ] == pytest.approx(expected[4:])


def test_a_stepped_schedule_reaches_its_full_rate_after_warmup(build):
    rates = train(
        build(scheduler={"type": "MultiStepLR", "milestones": [8], "gamma": 0.5}),
        batches(10),
        warmup=4,
    )
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, *[0.01] * 5, 0.005, 0.005])


def test_without_a_schedule_the_rate_is_constant(build, options):
    opt = options()
    del opt["train"]["scheduler"]
    assert train(build_model(opt), batches(5), warmup=3) == pytest.approx(
        [0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.01]
    )


def test_the_ema_takes_over_running_statistics(build):
    model = build(net={"norm": True}, ema_decay=0.9)
    train(model, batches(3))
    for name, value in model.net_g.named_buffers():
        assert torch.equal(model.net_g_ema.get_buffer(name), value)
    assert not torch.equal(model.net_g.body[0].weight, model.net_g_ema.body[0].weight)
    assert model.net_g_ema.body[1].num_batches_tracked == 3


def test_a_bad_batch_changes_nothing_and_is_counted(build, tmp_path, caplog):
    settings = {
        "net": {"norm": True},
        "ema_decay": 0.9,
        "nan_guard": {"stop_after": 2},
        "model": "ToyModel",
    }
    model = build(**settings, trail=True)
    good, bad, after = batches(3)
    train(model, [good])
    before = everything(model)
    logging.getLogger("basicsr").propagate = True
    train(model, [poisoned(bad)], start=2)
    assert_equal(everything(model), before)
    assert (
        model.guard.skipped
        == model.guard.in_a_row
        == 1
        == model.get_current_log()["dropped_updates"]
    )
    assert "iteration 2" in caplog.text and "1_0.png, 1_1.png" in caplog.text
    train(model, [after], start=3)
    assert model.guard.skipped == 1 and model.guard.in_a_row == 0
    trail = [line.split()[0] for line in (tmp_path / "trail_0.txt").read_text().splitlines()]
    assert trail == ["1", "3"]
    assert math.isfinite(model.log_dict["l_pix"])


def test_training_stops_after_too_many_bad_batches_in_a_row(build):
    model = build(nan_guard={"stop_after": 2})
    train(model, map(poisoned, batches(1)))
    before = everything(model)
    with pytest.raises(
        NonFiniteError, match=r"iteration 7: .* images: 0_0.png, 0_1.png.*2 in a row"
    ):
        train(model, map(poisoned, batches(1)), start=7)
    assert_equal(everything(model), before)
    with pytest.raises(NonFiniteError, match="1 in a row"):
        train(build(nan_guard={"skip": False}), map(poisoned, batches(1)))


def test_an_infinite_gradient_of_a_finite_loss_is_caught(build):
    model = build(nan_guard={}, pixel_opt={"type": "CharbonnierLoss", "eps": 0.0})
    before = everything(model)
    train(
        model,
        [{"lq": torch.zeros(1, 3, 8, 8), "gt": torch.zeros(1, 3, 8, 8), "lq_path": ["black.png"]}],
    )
    if model.guard.skipped == 0:  # the bias makes the output differ from the target: force the tie
        with torch.no_grad():
            model.net_g.body[-1].bias.zero_()
            model.net_g.body[-1].weight.zero_()
        before = everything(model)
        train(
            model,
            [
                {
                    "lq": torch.zeros(1, 3, 8, 8),
                    "gt": torch.zeros(1, 3, 8, 8),
                    "lq_path": ["black.png"],
                }
            ],
            2,
        )
    assert math.isfinite(model.log_dict["l_pix"]) and model.guard.skipped == 1
    assert_equal(everything(model), before)


def test_one_bad_batch_drops_the_whole_window(build):
    model = build(accumulate=2, nan_guard={})
    before = everything(model)
    first, second = batches(2)
    train(model, [poisoned(first), second])
    assert_equal(everything(model), before)
    assert model.guard.skipped == 1
