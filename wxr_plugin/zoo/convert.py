"""Weights of one network from one host's file into another's: BasicSR, MMagic (MMEngine), safetensors."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from wxr_plugin.checkpoints.containers import load_network_options, load_weights
from wxr_plugin.checkpoints.fitting import differences
from wxr_plugin.checkpoints.reading import CheckpointError
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_with

Form = Literal["basicsr", "mmagic", "safetensors"]
PREFIX = "generator."
PREFIXES = ("generator_ema.", PREFIX)
"""What MMagic's models call the network; the average, where there is one, comes first."""
BLOCKS = ("network_g", "guide", "sde", "ddpm")
"""What our models store beside the weights."""


class Converted(NamedTuple):
    """What was written."""

    tensors: int
    network: dict[str, Any] | None
    """The `network_g` block in the file, where the source or the caller knew it."""
    left_out: list[str]
    """Names in the source that are no part of the network, such as those of a loss."""


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
        source: anything that `load_weights` reads.
        target: .pth, or .safetensors.
        form: whose file it becomes; may be absent for .safetensors.
        key: container in the source, as `load_weights` takes it; EMA weights come first.
        network: `network_g` block that the weights have to fit, all names and shapes; what the
            source stores if None.
        force: replace a target that is there.

    Raises:
        WxrError: there is no source, the target is there, or its suffix and `form` contradict each
            other.
        CheckpointError: the source cannot be read, or does not fit the network.
    """
    form = _checked(Path(source), Path(target), form, force)
    blocks = {block: load_network_options(source, block) for block in BLOCKS}
    blocks["network_g"] = network or blocks["network_g"]
    weights, left_out = _of_the_network(load_weights(source, key))
    if blocks["network_g"]:
        _check_fit(source, weights, blocks["network_g"])
    write_with(
        target, _writer(form, weights, {name: block for name, block in blocks.items() if block})
    )
    _compare(target, weights)
    return Converted(len(weights), blocks["network_g"], left_out)


def _checked(source: Path, target: Path, form: Form | None, force: bool) -> Form:
    if not source.is_file():
        raise WxrError(f"{source}: no such file")
    is_safe = target.suffix == ".safetensors"
    form = form or ("safetensors" if is_safe else None)
    if form is None:
        raise WxrError(
            f"{target}: whose file shall it be? Add --to basicsr or --to mmagic, or call it "
            f".safetensors"
        )
    if (form == "safetensors") != is_safe:
        raise WxrError(
            f"{target}: files for {form} end in "
            f"{'.safetensors' if form == 'safetensors' else '.pth'}"
        )
    if target.exists() and target.resolve() == source.resolve():
        raise WxrError(f"{target} is the source itself; give the result another name")
    if target.exists() and not force:
        raise WxrError(f"{target} is there already; add --force to replace it")
    return form


def _of_the_network(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The network's weights under its own names, and the names of what lies beside it."""
    for prefix in PREFIXES:
        inner = {
            name.removeprefix(prefix): value
            for name, value in weights.items()
            if name.startswith(prefix)
        }
        if inner:
            return inner, [name for name in weights if not name.startswith(PREFIXES)]
    return dict(weights), []


def _check_fit(source: str | Path, weights: Mapping[str, Tensor], network: dict[str, Any]) -> None:
    from wxr_plugin.zoo.shapes import network_shapes

    try:
        expected = network_shapes(network)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{source}: its network {network.get('type')} cannot be built: {error}"
        ) from error
    told = differences({name: tuple(value.shape) for name, value in weights.items()}, expected)
    if told:
        raise CheckpointError(f"{source} does not fit the network {network['type']}: {told}")


def _writer(
    form: Form, weights: Mapping[str, Tensor], blocks: dict[str, Any]
) -> Callable[[BinaryIO], object]:
    if form == "safetensors":
        whole = {name: value.clone().contiguous() for name, value in weights.items()}
        data = safetensors.torch.save(
            whole, {name: json.dumps(block) for name, block in blocks.items()}
        )
        return lambda file: file.write(data)
    if form == "basicsr":
        return partial(torch.save, {"params": dict(weights), **blocks})
    named = {PREFIX + name: value for name, value in weights.items()}
    return partial(torch.save, {"meta": {}, "state_dict": named, **blocks})


def _compare(target: str | Path, weights: Mapping[str, Tensor]) -> None:
    written, _ = _of_the_network(load_weights(target))
    same = written.keys() == weights.keys()
    if not same or not all(_equal(written[name], value) for name, value in weights.items()):
        raise CheckpointError(
            f"{target}: what was written differs from what was read; is the disk sound?"
        )


def _equal(one: Tensor, other: Tensor) -> bool:
    """Bit for bit, so that NaN is equal to itself."""
    raw = [value.contiguous().reshape(-1).view(torch.uint8) for value in (one, other)]
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*raw)
