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
    weights, left_out = _of_the_network(load_weights(source, key))
    if blocks["network_g"]:
        _check_fit(source, weights, blocks["network_g"])
    write_with(target, _writer(form, weights, stored_blocks))
    _compare(target, weights)
    return Converted(len(weights), blocks["network_g"], left_out)


def _checked(source: Path, target: Path, form: Form | None, force: bool) -> Form:
    """Return the format of the target. Raises WxrError if it cannot be written."""
    if not source.is_file():
        raise WxrError(f"{source}: no such file")
    is_safe = target.suffix == ".safetensors"
    form = form or ("safetensors" if is_safe else None)
    if form is None:
        raise WxrError(
            f"{target}: cannot infer the target format; add --to basicsr or --to mmagic, or use a "
            f".safetensors name"
        )
    if (form == "safetensors") != is_safe:
        suffix = ".safetensors" if form == "safetensors" else ".pth"
        raise WxrError(f"{target}: files for {form} end in {suffix}")
    if target.exists() and target.resolve() == source.resolve():
        raise WxrError(f"{target} is the source itself; give the result another name")
    if target.exists() and not force:
        raise WxrError(f"{target} is there already; add --force to replace it")
    return form


def _of_the_network(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the network's weights under its own names, and the names of all other weights."""
    for prefix in PREFIXES:
        names = [name for name in weights if name.startswith(prefix)]
        if names:
            inner = {name.removeprefix(prefix): weights[name] for name in names}
            return inner, [name for name in weights if not name.startswith(PREFIXES)]
    # No prefix: the file holds the network alone.
    return dict(weights), []


def _check_fit(source: str | Path, weights: Mapping[str, Tensor], network: dict[str, Any]) -> None:

    try:
        expected = network_shapes(network)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{source}: its network {network.get('type')} cannot be built: {error}"
        ) from error
    difference = differences(shapes_of(weights), expected)
    if difference:
        raise CheckpointError(f"{source} does not fit the network {network['type']}: {difference}")


def _writer(
    form: Form, weights: Mapping[str, Tensor], blocks: dict[str, Any]
) -> Callable[[BinaryIO], object]:
    """Return a function that writes `weights` and `blocks` to a file in the format `form`."""
    if form == "safetensors":
        # safetensors refuses tensors that share memory or are views.
        copies = {name: value.clone().contiguous() for name, value in weights.items()}
        metadata = {name: json.dumps(block) for name, block in blocks.items()}
        data = safetensors.torch.save(copies, metadata)
        return lambda file: file.write(data)
    if form == "basicsr":
        return partial(torch.save, {"params": dict(weights), **blocks})
    state_dict = {PREFIX + name: value for name, value in weights.items()}
    return partial(torch.save, {"meta": {}, "state_dict": state_dict, **blocks})


def _compare(target: str | Path, weights: Mapping[str, Tensor]) -> None:
    """Read `target` back. Raises CheckpointError if it does not hold `weights`."""
    written, _ = _of_the_network(load_weights(target))
    same_names = written.keys() == weights.keys()
    if not same_names or not all(_equal(written[name], weights[name]) for name in weights):
        raise CheckpointError(
            f"{target}: the written weights differ from those of the source; check the disk"
        )


def _equal(first: Tensor, second: Tensor) -> bool:
    """Compare bit by bit, so that NaN equals itself."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return torch.equal(_bytes(first), _bytes(second))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
