"""Weights that an update made NaN or infinite are not saved; the last finite checkpoint stays."""

import math

import pytest
import torch
from toy_training import batches, train

from wxr_plugin.models.base.guard import NonFiniteError, newest_finite, state_tensors


def spoil(model, name="net_g"):
    with torch.no_grad():
        next(getattr(model, name).parameters()).view(-1)[0] = math.nan


def test_spoilt_weights_end_training_at_the_next_checkpoint_and_the_last_finite_one_stays(
    build, tmp_path
):
    model = build(keep=1, nan_guard={}, ema_decay=0.9)
    train(model, batches(2))
    model.save(0, 10)
    for name in ("net_g", "net_g_ema"):
        spoil(model, name)
    message = (
        r"iteration 20: no checkpoint is written: NaN or infinity in weights and averaged.*"
        r"Resume from .*10\.state"
    )
    for _ in range(2):
        with pytest.raises(NonFiniteError, match=message):
            model.save(0, 20)
    with pytest.raises(NonFiniteError, match="no checkpoint is written"):
        model.save(-1, -1)
    assert [file.name for file in (tmp_path / "training_states").iterdir()] == ["10.state"]
    assert [file.name for file in (tmp_path / "models").iterdir()] == ["net_g_10.pth"]


@pytest.mark.parametrize(
    ("name", "words"), [("net_g", "in weights,"), ("net_g_ema", r"in averaged weights \(EMA\),")]
)
def test_without_a_guard_no_checkpoint_is_spoilt_either(name, words, build, tmp_path):
    model = build(ema_decay=0.9)
    spoil(model, name)
    with pytest.raises(
        NonFiniteError, match=rf"{words} from this or an earlier update.*Start again with a lower"
    ):
        model.save(0, 10)
    assert not (tmp_path / "training_states").exists()


def test_an_infinite_second_moment_of_adam_is_found(build):
    model = build()
    train(model, batches(1))
    next(iter(model.optimizer_g.state.values()))["exp_avg_sq"].view(-1)[0] = math.inf
    with pytest.raises(NonFiniteError, match="in the optimiser's state,"):
        model.save(0, 10)


def test_a_buffer_may_hold_infinity_on_purpose_and_running_statistics_may_not(build):
    model = build(net={"norm": True})
    model.net_g.register_buffer("attention_mask", torch.tensor([0.0, -math.inf]))
    model.save(0, 10)
    model.net_g.body[1].running_var[0] = math.nan
    with pytest.raises(NonFiniteError, match="in weights,"):
        model.save(0, 20)


def test_the_guard_does_not_call_spoilt_weights_those_of_a_good_update(build):
    model = build(nan_guard={"stop_after": 10})
    train(model, batches(1))
    spoil(model)
    with pytest.raises(
        NonFiniteError,
        match=r"iteration 2: loss or gradient is not finite: NaN or infinity in weights",
    ):
        train(model, batches(1), start=2)


def test_the_newest_finite_state_is_found(build, tmp_path):
    model = build()
    model.save(0, 10)
    states = tmp_path / "training_states"
    spoilt = torch.load(states / "10.state", weights_only=True)
    state_tensors(spoilt["networks"])[0].view(-1)[0] = math.nan
    torch.save(spoilt, states / "20.state")
    (states / "30.state").write_bytes(b"cut")
    assert newest_finite(states) == states / "10.state"
    (states / "10.state").unlink()
    assert newest_finite(states) is None
