"""Checked updates, with MMEngine's wrapper and with one that scales losses."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from wxr_plugin.errors import OptionError
from wxr_plugin.mm.updates import Updates, images_of, updates_of
from wxr_plugin.models.base.guard import NanGuard
from wxr_plugin.options.train import NanGuardOptions


class Scaling(OptimWrapper):
    """Wrapper that uses a loss scaler as AmpOptimWrapper does, which needs a GPU."""

    def __init__(self, scale, **settings):
        super().__init__(**settings)
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


def watched(net, kind=OptimWrapper, guard=True, **settings):
    updates = Updates(kind(optimizer=torch.optim.SGD(net.parameters(), lr=0.1), **settings), net)
    updates.guard = NanGuard(NanGuardOptions()) if guard else None
    return updates


def state(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(one, two):
    return all(torch.equal(value, two[name]) for name, value in one.items())


def step(updates, net, factor=1.0, value=1.0):
    updates.begin(1, [f"{factor}.png"])
    updates.wrapper.update_params(
        factor * net(torch.tensor([[value, 0.5], [0.1, 0.2]])).square().mean()
    )


def test_a_good_update_counts_and_a_bad_one_does_not(net):
    updates, before = watched(net), state(net)
    step(updates, net, float("nan"))
    assert same(before, state(net)) and not updates.counted() and updates.guard.skipped == 1
    step(updates, net)
    assert not same(before, state(net)) and updates.counted() and updates.guard.in_a_row == 0


def test_one_bad_batch_spoils_its_window_alone(net):
    updates, before = watched(net, accumulative_counts=2), state(net)
    step(updates, net)
    assert not updates.counted() and not same(before, state(net))  # running statistics
    step(updates, net, float("inf"))
    assert same(before, state(net)) and not updates.counted()
    assert updates.images == ["1.0.png", "inf.png"]
    step(updates, net)
    step(updates, net)
    assert updates.counted() and updates.images == ["1.0.png", "1.0.png"]


def test_a_scale_that_is_too_large_is_lowered_and_not_counted(net):
    updates, before = watched(net, Scaling, scale=3e38), state(net)
    step(updates, net, 100.0)
    assert same(before, state(net)) and not updates.counted()
    assert (
        updates.wrapper.loss_scaler.get_scale() == pytest.approx(1.5e38)
        and updates.guard.skipped == 0
    )
    step(updates, net, float("nan"))
    assert same(before, state(net)) and updates.guard.skipped == 1
    updates.wrapper.loss_scaler.update(8.0)
    step(updates, net)
    assert updates.counted() and not same(before, state(net))


def test_without_a_guard_a_scaler_is_watched_all_the_same(net):
    updates, before = watched(net, Scaling, guard=False, scale=3e38), state(net)
    step(updates, net, 100.0)
    assert same(before, state(net)) and not updates.counted()


def test_several_optimisers_are_refused():
    runner = type("Runner", (), {"optim_wrapper": {"g": 1, "d": 2}})
    with pytest.raises(OptionError, match="our hooks need one optimiser"):
        updates_of(runner)


def test_paths_of_all_streams_are_named():
    batch = {"lq_path": ["a"], "gt_path": ["b"], "real_path": ["c"], "lq": 1}
    assert images_of(batch) == ["a", "c"] and images_of(None) == []
