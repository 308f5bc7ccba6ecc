"""Putting weights into a network, with an error that a person can read where they do not fit."""

import os
from collections.abc import Mapping

from torch import Tensor, nn

from wxr_plugin.checkpoints.containers import fit_prefix, load_network_options
from wxr_plugin.checkpoints.reading import CheckpointError


def load_into(
    net: nn.Module, weights: Mapping[str, Tensor], path: str | os.PathLike, strict: bool = True
) -> None:
    """Load the `weights` of the file `path` into `net`; `strict` as in torch.

    A prefix that all names share, such as Lightning's `net.`, is taken off.

    Raises:
        CheckpointError: names or shapes differ, or, where not `strict`, nothing fits. It is a line
            that names both sides, and the network of which the file says that it is for.
    """
    weights = fit_prefix(weights, net.state_dict())
    try:
        missing = net.load_state_dict(weights, strict=strict).missing_keys
    except RuntimeError as error:
        raise CheckpointError(_message(net, weights, path) or f"{path}: {error}") from error
    if missing and len(missing) == len(net.state_dict()):
        raise CheckpointError(_message(net, weights, path))


def differences(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> str:
    """How the names and shapes of a file differ from those of a network; empty where they are the same."""
    shapes = [
        name for name in expected if name in found and tuple(found[name]) != tuple(expected[name])
    ]
    parts = []
    if shapes:
        sides = [tuple(side[shapes[0]]) for side in (found, expected)]
        parts.append(
            f"{shapes[0]} is {sides[0]} in the file and {sides[1]} in the network{_others(shapes)}"
        )
    for one, other, what in (
        (expected, found, "missing in"),
        (found, expected, "unknown to the network, but in"),
    ):
        names = sorted(one.keys() - other.keys())
        parts += (
            [f"{names[0]}{_others(names)} {'are' if names[1:] else 'is'} {what} the file"]
            if names
            else []
        )
    return "; ".join(parts)


def _message(net: nn.Module, weights: Mapping[str, Tensor], path: str | os.PathLike) -> str:
    """What differs; empty where names and shapes are the same."""
    found, expected = (
        {name: t.shape for name, t in side.items()} for side in (weights, net.state_dict())
    )
    told = differences(found, expected)
    stored = load_network_options(path)
    stored_for = f" The file is for network_g: {stored}." if stored else ""
    mend = "Give network_g the options with which the file was trained, or another file."
    return (
        f"{path} does not fit the network {type(net).__name__}: {told}.{stored_for} {mend}"
        if told
        else ""
    )


def _others(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
