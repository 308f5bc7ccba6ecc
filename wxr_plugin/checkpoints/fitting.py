"""Weights and networks: whether names and shapes fit, and loading the ones into the other."""

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from basicsr.archs import build_network
from torch import Tensor, nn

from wxr_plugin.checkpoints.containers import find_weights, fit_prefix, load_network_options
from wxr_plugin.checkpoints.reading import CheckpointError, StrPath, read_content

Shapes = Mapping[str, tuple[int, ...]]
"""Parameter or buffer name -> shape."""
COUNTER = "num_batches_tracked"
"""Last part of buffers that files from before torch 0.4.1 lack; they do not affect any network."""


def load_into(
    net: nn.Module, weights: Mapping[str, Tensor], path: StrPath, strict: bool = True
) -> None:
    """Load the `weights` of the file `path` into `net`; `strict` as in torch.

    A prefix that all names share, such as Lightning's `net.`, is removed.

    Raises:
        CheckpointError: names or shapes differ, or, if not `strict`, nothing fits. The message is
            one line with both sides, and the network that the file was written for if it has that.
    """
    weights = fit_prefix(weights, net.state_dict())
    try:
        missing = net.load_state_dict(weights, strict=strict).missing_keys
    except RuntimeError as error:
        raise CheckpointError(_message(net, weights, path) or f"{path}: {error}") from error
    # Without `strict`, torch silently loads nothing if no name fits.
    if missing and len(missing) == len(net.state_dict()):
        raise CheckpointError(_message(net, weights, path))


def read_fitting(
    path: StrPath, expected: Shapes, key: str | None = None, prefix: str = ""
) -> dict[str, Tensor]:
    """Read the weights of a file under the `expected` names, as far as they fit.

    They are at `key`, or anywhere in the file. The numbers stay in the file until they are used.
    `prefix` as in `aligned`; raises as `load_weights`.
    """
    content = read_content(path, mapped=True)
    try:
        weights = find_weights(content, key, path)
    except CheckpointError:
        # A file that was saved again, for example by `wxr zoo convert`, has another container.
        weights = find_weights(content, None, path)
    return aligned(weights, expected, prefix)


def aligned(weights: Mapping[str, Tensor], expected: Shapes, prefix: str = "") -> dict[str, Tensor]:
    """Return `weights` under the expected names.

    `prefix`, or another prefix that all names share, is removed, and missing counters are added.
    """
    if prefix and all(name.startswith(prefix) for name in weights):
        weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    counters = [name for name in expected if name.endswith(COUNTER)]
    # Counters may be missing, so the prefix is inferred from all other names.
    joined = fit_prefix(weights, expected.keys() - counters)
    for name in counters:
        joined.setdefault(name, torch.tensor(0))
    return joined


def network_shapes(network: Mapping[str, Any]) -> Shapes:
    """Return the shapes of the network of a `network_g` block, built on torch's meta device.

    That takes neither the memory nor the time for its numbers.
    """
    text = json.dumps(network, sort_keys=True)
    return _shapes(text)


# Cached by text, because dicts cannot be keys.
@lru_cache(maxsize=256)
def _shapes(text: str) -> Shapes:
    level = logging.root.manager.disable
    logging.disable(logging.INFO)  # BasicSR logs every network that it builds
    try:
        with torch.device("meta"):
            net = build_network(json.loads(text))
    finally:
        logging.disable(level)
    return shapes_of(net.state_dict())


def differences(actual: Shapes, expected: Shapes) -> str:
    """Describe how the names and shapes of a file differ from those of a network; empty if equal.

    `actual` are the shapes of the file, `expected` those of the network.
    """
    common = [name for name in expected if name in actual]
    unequal = [name for name in common if actual[name] != expected[name]]
    missing = sorted(expected.keys() - actual.keys())
    surplus = sorted(actual.keys() - expected.keys())
    parts = []
    if unequal:
        name = unequal[0]
        parts.append(
            f"{name} is {actual[name]} in the file and {expected[name]} in the network"
            f"{_and_more(unequal)}"
        )
    if missing:
        parts.append(f"{_listed(missing)} missing in the file")
    if surplus:
        parts.append(f"{_listed(surplus)} unknown to the network, but in the file")
    return "; ".join(parts)


def shapes_of(weights: Mapping[str, Tensor]) -> Shapes:
    """Return the shapes of `weights`, by name."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def fits(weights: Mapping[str, Tensor], expected: Shapes) -> bool:
    """Return whether names and shapes are equal."""
    return shapes_of(weights) == expected


def _message(net: nn.Module, weights: Mapping[str, Tensor], path: StrPath) -> str:
    """Describe the differences and the fix; empty if names and shapes are equal."""
    difference = differences(shapes_of(weights), shapes_of(net.state_dict()))
    if not difference:
        return ""
    stored = load_network_options(path)
    stored_for = f" The file is for network_g: {stored}." if stored else ""
    return (
        f"{path} does not fit the network {type(net).__name__}: {difference}.{stored_for} "
        "Give network_g the options with which the file was trained, or another file."
    )


def _listed(names: list[str]) -> str:
    verb = "are" if len(names) > 1 else "is"
    return f"{names[0]}{_and_more(names)} {verb}"


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
