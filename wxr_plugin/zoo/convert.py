"""Conversion of weights between the files of BasicSR, MMagic (MMEngine) and safetensors."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from wxr_plugin.checkpoints.containers import load_network_options, load_weights
from wxr_plugin.checkpoints.fitting import differences, network_shapes, shapes_of
from wxr_plugin.checkpoints.reading import CheckpointError
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_with

Form = Literal["basicsr", "mmagic", "safetensors"]
PREFIX = "generator."
PREFIXES = ("generator_ema.", PREFIX)
"""Prefixes of the network in MMagic's models; the average comes first, if there is one."""
BLOCKS = ("network_g", "guide", "sde", "ddpm")
"""Option blocks that our models store with the weights."""


class Converted(NamedTuple):
    """Content of a converted file."""

    tensors: int
    """Number of tensors."""
    network: dict[str, Any] | None
    """The `network_g` block in the file, if the source or the caller had it."""
    left_out: list[str]
    """Names in the source that do not belong to the network, such as those of a loss."""


def convert(
    source: str | Path,
    target: str | Path,
    form: Form | None = None,
    key: str | None = None,
    network: dict[str, Any] | None = None,
    force: bool = False,
) -> Converted:
    """Write the weights in `source` to `target`, read them back, and compare.

    Args:
        source: any file that `load_weights` reads.
        target: .pth, or .safetensors.
        form: format of the target; may be None for .safetensors.
        key: container in the source, as `load_weights` takes it; EMA weights come first.
        network: `network_g` block that the weights must fit in all names and shapes; the one in the
            source if None.
        force: replace an existing target.

    Raises:
        WxrError: there is no source, the target exists, or its suffix and `form` contradict each
            other.
        CheckpointError: the source cannot be read, or does not fit the network.
    """
    form = _checked(Path(source), Path(target), form, force)
    blocks = {name: load_network_options(source, name) for name in BLOCKS}
    if network:
        blocks["network_g"] = network
    stored_blocks = {name: block for name, block in blocks.items() if block}
    all_weights = load_weights(source, key)
    weights, left_out = _of_the_network(all_weights)
    target_network = blocks["network_g"]
    if target_network:
        _check_fit(source, weights, target_network)
    writer = _writer(form, weights, stored_blocks)
    write_with(target, writer)
    _compare(target, weights)
    return Converted(len(weights), target_network, left_out)


def _checked(source: Path, target: Path, form: Form | None, force: bool) -> Form:
    """Return the format of the target. Raises WxrError if it cannot be written."""
    if not source.is_file():
        raise WxrError(f"{source}: no such file")
    is_safe = target.suffix == ".safetensors"
    # Only safetensors is clear from the name: both hosts write .pth.
    if form is None and is_safe:
        form = "safetensors"
    if form is None:
        raise WxrError(
            f"{target}: cannot infer the target format; add --to basicsr or --to mmagic, or use a "
            f".safetensors name"
        )
    if (form == "safetensors") != is_safe:
        suffix = ".safetensors" if form == "safetensors" else ".pth"
        raise WxrError(f"{target}: files for {form} end in {suffix}")
    exists = target.exists()
    if exists and target.resolve() == source.resolve():
        raise WxrError(f"{target} is the source itself; give the result another name")
    if exists and not force:
        raise WxrError(f"{target} is there already; add --force to replace it")
    return form


def _of_the_network(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the network's weights under its own names, and the names of all other weights."""
    left_out = [name for name in weights if not name.startswith(PREFIXES)]
    for prefix in PREFIXES:
        inner = {}
        for name, tensor in weights.items():
            if name.startswith(prefix):
                inner[name.removeprefix(prefix)] = tensor
        if inner:
            return inner, left_out
    # No prefix: the file holds the network alone.
    return dict(weights), []


def _check_fit(source: str | Path, weights: Mapping[str, Tensor], network: dict[str, Any]) -> None:

    try:
        expected = network_shapes(network)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        name = network.get("type")
        raise CheckpointError(f"{source}: its network {name} cannot be built: {error}") from error
    shapes = shapes_of(weights)
    difference = differences(shapes, expected)
    if difference:
        raise CheckpointError(f"{source} does not fit the network {network['type']}: {difference}")


def _writer(
    form: Form, weights: Mapping[str, Tensor], blocks: dict[str, Any]
) -> Callable[[BinaryIO], object]:
    """Return a function that writes `weights` and `blocks` to a file in the format `form`."""
    if form == "safetensors":
        data = _safetensors_bytes(weights, blocks)
        return lambda file: file.write(data)
    if form == "basicsr":
        content = {"params": dict(weights), **blocks}
        return partial(torch.save, content)
    state_dict = {}
    for name, tensor in weights.items():
        # The model of MMagic finds its network under this prefix.
        state_dict[PREFIX + name] = tensor
    content = {"meta": {}, "state_dict": state_dict, **blocks}
    return partial(torch.save, content)


def _safetensors_bytes(weights: Mapping[str, Tensor], blocks: Mapping[str, Any]) -> bytes:
    """Return the content of a .safetensors file; its metadata are texts, so blocks are JSON."""
    copies = {}
    for name, tensor in weights.items():
        # safetensors refuses tensors that share memory or are views.
        copies[name] = tensor.clone().contiguous()
    metadata = {}
    for name, block in blocks.items():
        metadata[name] = json.dumps(block)
    return safetensors.torch.save(copies, metadata)


def _compare(target: str | Path, weights: Mapping[str, Tensor]) -> None:
    """Read `target` back. Raises CheckpointError if it does not hold `weights`."""
    written, _ = _of_the_network(load_weights(target))
    is_same = written.keys() == weights.keys()
    if is_same:
        is_same = all(_equal(written[name], weights[name]) for name in weights)
    if not is_same:
        raise CheckpointError(
            f"{target}: the written weights differ from those of the source; check the disk"
        )


def _equal(first: Tensor, second: Tensor) -> bool:
    """Compare bit by bit, so that NaN equals itself."""
    has_same_form = first.dtype == second.dtype and first.shape == second.shape
    if not has_same_form:
        return False
    return torch.equal(_bytes(first), _bytes(second))


def _bytes(tensor: Tensor) -> Tensor:
    # A 0-d tensor cannot be viewed as another type, a flat one can.
    flat = tensor.contiguous().reshape(-1)
    return flat.view(torch.uint8)
