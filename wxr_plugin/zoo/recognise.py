"""What a file of weights is for, told by its names and shapes alone."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from torch import Tensor

from wxr_plugin.checkpoints.containers import find_weights, load_network_options
from wxr_plugin.checkpoints.fitting import differences
from wxr_plugin.checkpoints.reading import CheckpointError, read_content
from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.files import part_shapes
from wxr_plugin.zoo.rows import Row, rows
from wxr_plugin.zoo.shapes import COUNTER, Shapes, aligned, fits, network_shapes, networks

DEPTH = 3
"""Levels of containers in a file that are looked into."""
LEAST = 0.02
"""Share of names and shapes in common from which on a network counts as close."""


class Match(msgspec.Struct, frozen=True):
    """A row whose network, or a part of it, the weights fit."""

    row: str
    """Name of the row."""
    method: str
    """Its method."""
    network: dict[str, Any]
    """The `network_g` block that fits."""
    key: str | None
    """Where in the file the weights are; None: at the top."""
    prefix: str
    """What their names begin with, and those of the network do not."""
    part: str | None
    """Official name of the file, of those that make the network together; None: the whole network."""
    published: bool | None
    """Whether the file is the published one; None where its sha256 is not known."""


class Recognised(msgspec.Struct, frozen=True):
    """What is known of a file."""

    path: str
    sha256: str
    tensors: int
    """In all of its containers that hold weights."""
    parameters: int
    """Numbers in them."""
    matches: list[Match]
    """Rows that it fits; of a published file whose sha256 is known those of this file alone."""
    stored: dict[str, Any] | None = None
    """The `network_g` block that the file stores, as our models do."""
    stored_differs: str | None = None
    """How its weights differ from that network; empty if they fit."""
    other: str | None = None
    """What it is instead of a network's weights."""
    closest: str | None = None
    """The row that comes closest, where nothing fits."""
    closest_differs: str | None = None
    """What is missing or too much against it."""

    @property
    def known(self) -> bool:
        """Whether anything fits."""
        return bool(self.matches or self.stored_differs == "" or self.other)


class Target(NamedTuple):
    """What weights may be for."""

    network: dict[str, Any]
    shapes: Shapes
    rows: tuple[Row, ...]
    part: str | None = None
    sha256: str | None = None


def recognise(path: Path) -> Recognised:
    """What the file `path` is for.

    Raises CheckpointError if it cannot be read, FileNotFoundError if there is none.
    """
    content = read_content(path, mapped=True)
    found = dict(_containers(content))
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    tensors = [tensor for weights in found.values() for tensor in weights.values()]
    sizes = (len(tensors), sum(tensor.numel() for tensor in tensors))
    known = {"stored": load_network_options(path), "other": _other(content, found)}
    if not found or known["other"]:
        what = known["other"] or "no weights in it"
        return Recognised(str(path), sha256, *sizes, [], other=known["other"], closest_differs=what)
    if known["stored"]:
        known["stored_differs"] = _against(find_weights(content, None, path), known["stored"])
    matches = [match for key, weights in found.items() for match in _matches(key, weights, sha256)]
    matches.sort(key=lambda match: match.part is not None)
    near = {} if matches or known.get("stored_differs") == "" else _closest(found)
    return Recognised(str(path), sha256, *sizes, matches, **known, **near)


def _containers(
    content: Mapping[str, Any], key: str = "", depth: int = 0
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Keys, joined by /, of everything in a file that is a state dict."""
    if content and all(isinstance(value, Tensor) for value in content.values()):
        yield key, dict(content)
    elif depth < DEPTH and not key.startswith("optim"):
        for name, inner in content.items():
            if isinstance(name, str):
                yield from _inner(content, name, inner, f"{key}/{name}" if key else name, depth)


def _inner(
    content: Mapping[str, Any], name: str, inner: Any, key: str, depth: int
) -> Iterator[tuple[str, dict]]:
    if isinstance(inner, Mapping):
        yield from _containers(inner, key, depth + 1)
    elif type(inner).__mro__[1:2] and hasattr(inner, "state"):  # the stand-in for a network
        try:
            yield key, find_weights({name: inner}, name, key)
        except CheckpointError:
            return


def _other(content: Mapping[str, Any], found: Mapping[str, Mapping[str, Tensor]]) -> str | None:
    if {"iter", "optimizers"} <= content.keys():
        return "a training state of BasicSR; the weights are in net_g_*.pth of the folder models beside it"
    for weights in found.values():
        if any(name.startswith(("visual_control.", "module.visual_control.")) for name in weights):
            guides = sorted({row.guide for row in rows().values() if row.guide})
            return f"a DA-CLIP, which steers networks: give it with --guide; published are {', '.join(guides)}"
        if {name: tuple(tensor.shape) for name, tensor in weights.items()} == _head():
            return "the head of InstructIR's instructions; keep it beside im_instructir-7d.pt"
    return None


@cache
def _head() -> dict[str, tuple[int, ...]]:
    from wxr_plugin.archs.instructir_arch import LMHead

    return {name: tuple(tensor.shape) for name, tensor in LMHead().state_dict().items()}


def _against(weights: Mapping[str, Tensor], network: Mapping[str, Any]) -> str:
    try:
        expected = network_shapes(network)
    except (KeyError, TypeError, ValueError, RuntimeError, WxrError) as error:
        return f"the network cannot be built: {error}"
    return differences(_shapes(aligned(weights, expected)), expected)


def _matches(key: str, raw: Mapping[str, Tensor], sha256: str) -> Iterator[Match]:
    weights = find_weights(dict(raw), None, key)
    for target in _targets(_owners().get(sha256, ())):
        if not _may_fit(weights, target.shapes) or not fits(
            aligned(weights, target.shapes), target.shapes
        ):
            continue
        for row in target.rows:
            known = target.sha256 if target.part else row.sha256
            prefix = _prefix(raw, target.shapes)
            published = None if known is None else known == sha256
            yield Match(
                row.name, row.method, target.network, key or None, prefix, target.part, published
            )


def _may_fit(weights: Mapping[str, Tensor], expected: Shapes) -> bool:
    """Whether one name and its shape are there: quick, where few networks of many are left."""
    probe = _probe(expected)
    return any(
        name.endswith(probe) and tuple(weights[name].shape) == expected[probe] for name in weights
    )


def _probe(expected: Shapes) -> str:
    return max((name for name in expected if not name.endswith(COUNTER)), key=len)


def _prefix(raw: Mapping[str, Tensor], expected: Shapes) -> str:
    probe = _probe(expected)
    return min(
        (name.removesuffix(probe) for name in raw if name.endswith(probe)), key=len, default=""
    )


def _closest(found: Mapping[str, Mapping[str, Tensor]]) -> dict[str, str]:
    """The whole network that shares the largest part of its names and shapes with one of the containers."""
    best, result = LEAST, {"closest_differs": "it has nothing in common with any network here"}
    for key, raw in found.items():
        weights = find_weights(dict(raw), None, key)
        for target in (target for target in _targets() if not target.part):
            shapes = _shapes(aligned(weights, target.shapes))
            same = [name for name in target.shapes if shapes.get(name) == target.shapes[name]]
            common = sum(not name.endswith(COUNTER) for name in same)
            if (share := common / len(shapes.keys() | target.shapes.keys())) > best:
                told = differences(shapes, target.shapes)
                best, result = share, {"closest": target.rows[0].name, "closest_differs": told}
    return result


@cache
def _owners() -> dict[str, tuple[str, ...]]:
    """sha256 -> names of the rows with this file."""
    owners: dict[str, tuple[str, ...]] = {}
    for row in rows().values():
        for sha256 in {row.sha256, *(part.sha256 for part in row.files)} - {None}:
            owners[sha256] = (*owners.get(sha256, ()), row.name)
    return owners


@cache
def _targets(only: tuple[str, ...] = ()) -> tuple[Target, ...]:
    """Every network of the rows, or of `only` these, once, and every part of those in several files."""
    whole: dict[str, tuple[dict[str, Any], list[Row]]] = {}
    for row in [rows()[name] for name in only] or rows().values():
        for network in networks(row):
            whole.setdefault(json.dumps(network, sort_keys=True), (network, []))[1].append(row)
    targets = [
        Target(network, network_shapes(network), tuple(owners))
        for network, owners in whole.values()
    ]
    for target in tuple(targets):
        for row in target.rows:
            targets += [
                Target(
                    target.network,
                    part_shapes(row, part, target.shapes),
                    (row,),
                    part.file,
                    part.sha256,
                )
                for part in row.files
            ]
    return tuple(targets)


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}
