"""Names and shapes of a network's weights, without the memory and time for its numbers."""

import json
import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
from basicsr.archs import build_network
from torch import Tensor

from wxr_plugin.checkpoints.containers import fit_prefix
from wxr_plugin.checkpoints.fitting import Shapes, shapes_of
from wxr_plugin.utils.namesakes import our_network
from wxr_plugin.zoo.rows import Row

COUNTER = "num_batches_tracked"
"""Last part of buffers that files from before torch 0.4.1 lack; they do not affect any network."""


def network_shapes(network: Mapping[str, Any]) -> Shapes:
    """Return the shapes of the network of a `network_g` block, built on torch's meta device."""
    text = json.dumps(network, sort_keys=True)
    return _shapes(text)


def networks(row: Row) -> Iterator[dict[str, Any]]:
    """Yield the `network_g` block of a row, then those with its alternative arguments."""
    for arguments in ({}, *row.either):
        block = row.network_g | arguments
        yield our_network(block)


def aligned(weights: Mapping[str, Tensor], expected: Shapes, prefix: str = "") -> dict[str, Tensor]:
    """Return `weights` under the expected names.

    `prefix`, or another prefix that all names share, is removed, and missing counters are added.
    """
    if prefix and all(name.startswith(prefix) for name in weights):
        weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    counters, names = [], []
    for name in expected:
        if name.endswith(COUNTER):
            counters.append(name)
        else:
            names.append(name)
    # Counters may be missing, so the prefix is inferred from all other names.
    joined = fit_prefix(weights, names)
    for name in counters:
        joined.setdefault(name, torch.tensor(0))
    return joined


def fits(weights: Mapping[str, Tensor], expected: Shapes) -> bool:
    """Return whether names and shapes are equal."""
    return shapes_of(weights) == expected


# Cached by text, because dicts cannot be keys.
@lru_cache(maxsize=256)
def _shapes(text: str) -> Shapes:
    network = json.loads(text)
    level = logging.root.manager.disable
    logging.disable(logging.INFO)  # BasicSR logs every network that it builds
    try:
        with torch.device("meta"):
            net = build_network(network)
    finally:
        logging.disable(level)
    return shapes_of(net.state_dict())
