"""Training a toy model for a few iterations and looking at all that it has."""

import copy

import torch


def batches(count, size=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (size, 3, 12, 12)
    draw = lambda: torch.rand(shape, generator=generator)  # noqa: E731
    made = []
    for number in range(count):
        names = [f"{number}_{place}.png" for place in range(size)]
        made.append({"lq": draw(), "gt": draw(), "lq_path": names, "gt_path": names})
    return made


def train(model, data, start=1, warmup=-1):
    rates = []
    for iteration, batch in enumerate(data, start):
        model.update_learning_rate(iteration, warmup)
        rates.append(model.get_current_learning_rate()[0])
        model.feed_data(batch)
        model.optimize_parameters(iteration)
    return rates


def everything(model):
    """Return copies of all state that a bad update could spoil."""
    nets = [model.net_g, *([model.net_g_ema] if hasattr(model, "net_g_ema") else [])]
    states = [net.state_dict() for net in nets] + [model.optimizer_g.state_dict()]
    return copy.deepcopy(states)


def assert_equal(one, two):
    assert type(one) is type(two)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_equal(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for a, b in zip(one, two):
            assert_equal(a, b)
    else:
        assert one == two
