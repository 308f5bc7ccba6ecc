"""Recognition of the network that a file of weights is for, by names and shapes alone."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from torch import Tensor

from wxr_plugin.checkpoints.containers import find_weights, load_network_options
from wxr_plugin.checkpoints.fitting import (
    COUNTER,
    Shapes,
    aligned,
    differences,
    fits,
    network_shapes,
    shapes_of,
)
from wxr_plugin.checkpoints.reading import CheckpointError, read_content
from wxr_plugin.checkpoints.unpickling import StandIn
from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.files import part_shapes
from wxr_plugin.zoo.rows import Row, networks, rows

DEPTH = 3
"""Number of levels of containers in a file that are searched."""
LEAST = 0.02
"""Least share of common names and shapes with which a network counts as close."""
_DACLIP = ("visual_control.", "module.visual_control.")
"""Prefixes of the weights that only a DA-CLIP has."""


class Match(msgspec.Struct, frozen=True):
    """A row whose network, or a part of it, the weights fit."""

    row: str
    """Name of the row."""
    method: str
    """Its method."""
    network: dict[str, Any]
    """The `network_g` block that fits."""
    key: str | None
    """Keys of the weights in the file, joined by /; None: at the top."""
    prefix: str
    """Prefix of their names that the network does not have."""
    part: str | None
    """Official name of the file if it is one of several; None: the whole network."""
    published: bool | None
    """Whether the file is the published one; None if its sha256 is not known."""


class Recognised(msgspec.Struct, frozen=True):
    """Report about a file."""

    path: str
    sha256: str
    tensors: int
    """Number of tensors in all containers of weights."""
    parameters: int
    """Number of values in them."""
    matches: list[Match]
    """Rows that it fits; for a published file with a known sha256 only those of this file."""
    stored: dict[str, Any] | None = None
    """The `network_g` block in the file, as our models store it."""
    stored_differs: str | None = None
    """Differences between its weights and that network; empty if they fit."""
    other: str | None = None
    """Kind of the file if it does not hold a network's weights."""
    closest: str | None = None
    """Name of the closest row if nothing fits."""
    closest_differs: str | None = None
    """Differences between its weights and that row's network."""

    @property
    def known(self) -> bool:
        """Whether anything fits."""
        return bool(self.matches or self.stored_differs == "" or self.other)


class Target(NamedTuple):
    """A network, or a part of it in one of several files, that weights may fit."""

    network: dict[str, Any]
    """Its `network_g` block."""
    shapes: Shapes
    rows: tuple[Row, ...]
    """Rows with this network."""
    part: str | None = None
    """Official name of the part's file."""
    sha256: str | None = None
    """SHA-256 of the part's file."""


Containers = Mapping[str, Mapping[str, Tensor]]
"""Keys, joined by / -> the state dict there."""


def recognise(path: Path, only: tuple[str, ...] = ()) -> Recognised:
    """Recognise the network that the file `path` is for.

    `only` are the names of the rows that it may be for; by default it is compared with all, which
    takes longer.

    Raises CheckpointError if it cannot be read, FileNotFoundError if it does not exist.
    """
    # Mapped: only names and shapes are needed, so the numbers stay in the file.
    content = read_content(path, mapped=True)
    containers = dict(_containers(content))
    sha256 = _hash(path)
    tensors, parameters = _counts(containers)
    report = partial(Recognised, str(path), sha256, tensors, parameters)
    stored = load_network_options(path)
    kind = _other_kind(content, containers)
    if kind or not containers:
        return report([], other=kind, closest_differs=kind or "no weights in it")
    stored_differs = None
    if stored:
        weights = find_weights(content, None, path)
        stored_differs = _differences(weights, stored)
    matches: list[Match] = []
    for key, weights in containers.items():
        matches += _matches(key, weights, sha256, only)
    matches.sort(key=lambda match: match.part is not None)  # whole networks first
    closest, closest_differs = None, None
    # Only if nothing fits, because the search compares every network.
    if not matches and stored_differs != "":
        closest, closest_differs = _closest(containers, only)
    return report(
        matches,
        stored=stored,
        stored_differs=stored_differs,
        closest=closest,
        closest_differs=closest_differs,
    )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256")
    return sha256.hexdigest()


def _counts(containers: Containers) -> tuple[int, int]:
    """Return the number of tensors in all containers, and of the values in these."""
    tensors, values = 0, 0
    for weights in containers.values():
        tensors += len(weights)
        values += sum(tensor.numel() for tensor in weights.values())
    return tensors, values


def _containers(
    content: Mapping[str, Any], key: str = "", depth: int = 0
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the keys, joined by /, and the content of every state dict in a file."""
    is_state_dict = bool(content) and all(isinstance(value, Tensor) for value in content.values())
    if is_state_dict:
        yield key, dict(content)
        return
    # Moments of an optimiser look like weights.
    if depth >= DEPTH or key.startswith("optim"):
        return
    for name, inner in content.items():
        if isinstance(name, str):
            inner_key = f"{key}/{name}" if key else name
            yield from _inner(name, inner, inner_key, depth)


def _inner(name: str, inner: Any, key: str, depth: int) -> Iterator[tuple[str, dict]]:
    """Yield the state dicts in one entry of a container."""
    if isinstance(inner, Mapping):
        yield from _containers(inner, key, depth + 1)
        return
    is_pickled_network = isinstance(inner, StandIn) and hasattr(inner, "state")
    if is_pickled_network:
        # `find_weights` refuses stand-ins of other classes.
        try:
            weights = find_weights({name: inner}, name, key)
        except CheckpointError:
            return
        yield key, weights


def _other_kind(content: Mapping[str, Any], containers: Containers) -> str | None:
    """Return the kind of a file that does not hold a network's weights, with its use."""
    if {"iter", "optimizers"} <= content.keys():
        return (
            "a training state of BasicSR; the weights are in net_g_*.pth of the folder models "
            "next to it"
        )
    for weights in containers.values():
        if any(name.startswith(_DACLIP) for name in weights):
            guides = sorted({row.guide for row in rows().values() if row.guide})
            return (
                "a DA-CLIP, which guides networks: give it with --guide; published are "
                f"{', '.join(guides)}"
            )
        if shapes_of(weights) == _head():
            return "the head of InstructIR's instructions; keep it next to im_instructir-7d.pt"
    return None


@cache
def _head() -> Shapes:
    from wxr_plugin.archs.instructir_arch import LMHead

    return shapes_of(LMHead().state_dict())


def _differences(weights: Mapping[str, Tensor], network: Mapping[str, Any]) -> str:
    """Describe how `weights` differ from a `network_g` block; empty if they fit."""
    try:
        expected = network_shapes(network)
    except (KeyError, TypeError, ValueError, RuntimeError, WxrError) as error:
        return f"the network cannot be built: {error}"
    shapes = shapes_of(aligned(weights, expected))
    return differences(shapes, expected)


def _matches(
    key: str, raw: Mapping[str, Tensor], sha256: str, only: tuple[str, ...]
) -> Iterator[Match]:
    """Yield the rows that the weights at `key` fit; `raw` have their names in the file."""
    weights = find_weights(dict(raw), None, key)
    for target in _targets(only or _owners().get(sha256, ())):
        if not _may_fit(weights, target.shapes):
            continue
        if not fits(aligned(weights, target.shapes), target.shapes):
            continue
        prefix = _prefix(raw, target.shapes)
        for row in target.rows:
            official = target.sha256 if target.part else row.sha256
            yield Match(
                row=row.name,
                method=row.method,
                network=target.network,
                key=key or None,
                prefix=prefix,
                part=target.part,
                published=None if official is None else official == sha256,
            )


def _may_fit(weights: Mapping[str, Tensor], expected: Shapes) -> bool:
    """Return whether one expected name has its shape: a quick test that excludes most networks."""
    probe = _probe(expected)
    shapes = []
    for name, tensor in weights.items():
        # Names in the file may have a prefix.
        if name.endswith(probe):
            shapes.append(tuple(tensor.shape))
    return expected[probe] in shapes


def _probe(expected: Shapes) -> str:
    """Return the expected name that identifies a network best."""
    names = [name for name in expected if not name.endswith(COUNTER)]
    # The longest name is the least likely to be the end of another one.
    return max(names, key=len)


def _prefix(raw: Mapping[str, Tensor], expected: Shapes) -> str:
    """Return the prefix that the names in the file have and the network's do not."""
    probe = _probe(expected)
    prefixes = []
    for name in raw:
        if name.endswith(probe):
            prefixes.append(name.removesuffix(probe))
    return min(prefixes, key=len, default="")


def _closest(containers: Containers, only: tuple[str, ...]) -> tuple[str | None, str]:
    """Return the row whose whole network shares most names and shapes with a container.

    With it come the differences. The share is that of common weights in those of either side.
    """
    targets = [target for target in _targets(only) if not target.part]
    best = LEAST
    closest, difference = None, "it has nothing in common with any network here"
    for key, raw in containers.items():
        weights = find_weights(dict(raw), None, key)
        for target in targets:
            shapes = shapes_of(aligned(weights, target.shapes))
            share = _common_share(shapes, target.shapes)
            if share > best:
                best = share
                closest = target.rows[0].name
                difference = differences(shapes, target.shapes)
    return closest, difference


def _common_share(shapes: Shapes, expected: Shapes) -> float:
    """Return the share of common weights in those of either side, from 0 to 1."""
    common = 0
    for name, shape in expected.items():
        # Counters are in every network with batch normalisation; `aligned` even adds them.
        if not name.endswith(COUNTER):
            common += shapes.get(name) == shape
    all_names = shapes.keys() | expected.keys()
    return common / len(all_names)


@cache
def _owners() -> dict[str, tuple[str, ...]]:
    """Return sha256 -> names of the rows with this file."""
    owners: dict[str, tuple[str, ...]] = {}
    for row in rows().values():
        hashes = {row.sha256}
        hashes.update(part.sha256 for part in row.files)
        # None stands for hashes that are not known.
        for sha256 in hashes - {None}:
            before = owners.get(sha256, ())
            owners[sha256] = (*before, row.name)
    return owners


@cache
def _targets(only: tuple[str, ...] = ()) -> tuple[Target, ...]:
    """Return every network of the rows once, then every part of those in several files.

    If `only` is not empty, they are those of the rows with these names.
    """
    blocks: dict[str, dict[str, Any]] = {}
    owners: dict[str, list[Row]] = {}
    chosen = [rows()[name] for name in only] or rows().values()
    for row in chosen:
        for network in networks(row):
            # Equal blocks have equal texts, whatever the order of their keys.
            text = json.dumps(network, sort_keys=True)
            blocks[text] = network
            owners.setdefault(text, []).append(row)
    whole = []
    for text, network in blocks.items():
        shapes = network_shapes(network)
        target = Target(network, shapes, tuple(owners[text]))
        whole.append(target)
    parts = []
    for target in whole:
        for row in target.rows:
            for part in row.files:
                shapes = part_shapes(row.files, part, target.shapes)
                parts.append(Target(target.network, shapes, (row,), part.file, part.sha256))
    return (*whole, *parts)


def _parts(target: Target, row: Row) -> Iterator[Target]:
    """Yield the parts of a network that `row` has in several files."""
    for part in row.files:
        shapes = part_shapes(row, part, target.shapes)
        yield Target(target.network, shapes, (row,), part.file, part.sha256)
