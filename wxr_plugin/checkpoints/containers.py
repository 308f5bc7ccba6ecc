"""Checkpoints: weights in their many containers, and one training state in each file.

Files are read by `wxr_plugin.checkpoints.reading`, which runs no code from them, and written
through `wxr_plugin.utils.files`, so that a file under its final name is always whole.
"""

import json
import os
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from wxr_plugin.checkpoints import mmengine_pickles, unpickling
from wxr_plugin.checkpoints.reading import (
    JAX,
    CheckpointError,
    StrPath,
    is_whole,
    read_content,
    read_dict,
)
from wxr_plugin.utils.files import write_with

CONTAINERS = (
    "params_ema", "ema_helper", "g_ema", "model_ema", "params", "state_dict", "model_state_dict",
    "model", "net", "net_g", "netG", "generator", "network", "weights", "G",
)  # fmt: skip
"""Keys under which other projects store weights; the first that is there is read.

EMA weights lead: they restore best.
"""
WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile leave on parameter names."""
_SCALARS = (bool, int, float, str, type(None))
_SEQUENCES = (list, tuple, set, torch.Size)
_MAPPINGS = (dict, OrderedDict, Counter, defaultdict)


def save_state(path: StrPath, state: Mapping[str, Any]) -> None:
    """Write `state` to `path` atomically.

    Raises:
        TypeError: `state` contains anything but plain types and tensors, which `load_state` would
            refuse later; the message names the place, and nothing is written.
        OSError, RuntimeError: the disk is full or the like; the file at `path` is unchanged.
    """
    _check_plain(state, "state")
    write_with(path, lambda file: torch.save(state, file))


def load_state(path: StrPath) -> dict[str, Any]:
    """Read a file of `save_state`, with every tensor on the CPU.

    Checksums are verified, which torch does not do.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is broken, holds code, or holds no dict.
    """
    state = read_dict(path)
    if zipfile.is_zipfile(path) and not is_whole(path):
        raise CheckpointError(f"{path}: no checkpoint, or a broken one (a checksum does not fit).")
    return state


def load_weights(
    path: StrPath, key: str | None = None, mapped: bool = False
) -> dict[str, torch.Tensor]:
    """Read a network's weights from .safetensors or any common kind of .pth, .pt or .ckpt file.

    Args:
        path: the file. BasicSR's {'params', 'params_ema'}, {'state_dict'} (Lightning too),
            {'model'} and others of `CONTAINERS`, bare state dicts and whole networks are read;
            `module.` and `_orig_mod.` are removed from the names. An .npz holds JAX weights of
            MAXIM, which are converted.
        key: the container's key, such as 'params_ema', or a path of keys, 'state_dict/model_R'.
            If None, or if the file lacks a requested 'params_ema', the first of `CONTAINERS` that
            is there.
        mapped: leave the numbers in the file until they are used, for callers that need only names
            and shapes.

    Returns:
        Parameter name -> tensor on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is broken, holds code, lacks `key`, or holds no weights.
    """
    return find_weights(read_content(path, mapped), key, path)


def find_weights(
    content: dict[str, Any], key: str | None, path: StrPath
) -> dict[str, torch.Tensor]:
    """Return the weights in the `content` of the file `path`, as `load_weights` does."""
    weights = _open_container(content, key, path)
    fault = "" if weights else "it is empty"
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            fault = f"entry {name!r} is a {type(value).__name__}"
            break
    if fault:
        raise CheckpointError(
            f"{path}: no weights ({fault}). Name the container's key; the file has "
            f"{list(content)[:8]}."
        )
    return {_unwrap(name): value for name, value in weights.items()}


def load_network_options(path: StrPath, block: str = "network_g") -> dict[str, Any] | None:
    """Read the `network_g` block that our models store with the weights.

    It is a key of a .pth file, or metadata of safetensors; in a checkpoint of MMEngine the
    generator of its config, if that is a network of this package. `block` names another block that
    a model stores, such as the `sde` of IRSDEModel.

    Returns None if the file has no such block, or is a folder. Raises as `load_weights`.
    """
    if Path(path).is_dir() or Path(path).suffix == JAX:
        return None
    if os.fspath(path).endswith(".safetensors"):
        try:
            with safe_open(path, "pt") as file:
                stored = (file.metadata() or {}).get(block)
        except SafetensorError as error:
            raise CheckpointError(
                f"{path}: not a safetensors file, or a broken one ({error})."
            ) from error
        return _options_in_metadata(stored, block, path) if stored else None
    # Mapped, because the weights are not needed here.
    content = read_content(path, mapped=True)
    stored = content.get(block)
    if stored is None and block == "network_g":
        stored = mmengine_pickles.network_of(content.get("meta"))
    return stored if isinstance(stored, dict) else None


def _options_in_metadata(stored: str, block: str, path: StrPath) -> dict[str, Any]:
    try:
        options = json.loads(stored)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its metadata entry {block!r} is not JSON ({error})"
        ) from error
    if not isinstance(options, dict):
        raise CheckpointError(f"{path}: its metadata entry {block!r} is not a JSON object")
    return options


def fit_prefix(
    weights: Mapping[str, torch.Tensor], expected: Iterable[str]
) -> dict[str, torch.Tensor]:
    """Remove the prefix (such as Lightning's `net.`) that precedes all `expected` names.

    If there is no such prefix, or none is needed, `weights` are returned unchanged. Of several
    prefixes, MMEngine's average (`generator_ema.`) comes first, then the shortest.
    """
    expected = set(expected)
    if not expected or expected & set(weights):
        return dict(weights)
    # Any one expected name shows which prefixes are possible.
    probe = min(expected)
    prefixes = {name[: -len(probe)] for name in weights if name.endswith("." + probe)}
    for prefix in sorted(prefixes, key=lambda prefix: (not prefix.endswith("_ema."), len(prefix))):
        inner = {
            name.removeprefix(prefix): value
            for name, value in weights.items()
            if name.startswith(prefix)
        }
        if expected <= set(inner):
            return inner
    return dict(weights)


def _open_container(loaded: dict[str, Any], key: str | None, path: StrPath) -> dict[str, Any]:
    """Return the state dict at `key`, or the first of `CONTAINERS`, or `loaded` if it is bare."""
    requested = None if key is None else _at(loaded, key)
    if requested is not None:
        return requested
    containers = [name for name in CONTAINERS if _at(loaded, name) is not None]
    is_bare = all(isinstance(value, torch.Tensor) for value in loaded.values())
    # Files of other projects have no params; but EMA weights must not pass for the plain ones.
    is_optional = key in (None, "params", "params_ema")
    if not is_optional or (key == "params" and containers == ["params_ema"]):
        raise CheckpointError(f"{path}: no key {key!r}. The file has {list(loaded)[:8]}.")
    return loaded if is_bare or not containers else _at(loaded, containers[0])


def _at(loaded: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Return the dict at a path of keys, or the state dict of a network there; None if neither."""
    value: Any = loaded
    for step in key.split("/"):
        value = value.get(step) if isinstance(value, dict) else None
    if unpickling.is_network(value):
        return unpickling.state_dict(value)
    return value if isinstance(value, dict) else None


def _unwrap(name: str) -> str:
    # torch.compile wraps single modules too, so its prefix may be anywhere in a name.
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "") if wrapper == "_orig_mod." else name.removeprefix(wrapper)
    return name


def _check_plain(value: Any, place: str) -> None:
    """Raise TypeError if `value`, at `place` of the state, holds anything but plain types."""
    kind = type(value)
    if kind in _MAPPINGS:
        for key, item in value.items():
            _check_plain(key, f"{place}, key {key!r}")
            _check_plain(item, f"{place}[{key!r}]")
    elif kind in _SEQUENCES:
        for index, item in enumerate(value):
            _check_plain(item, f"{place}[{index}]")
    elif kind not in _SCALARS and not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{place} is a {kind.__module__}.{kind.__qualname__}, which a safe load refuses. "
            "Keep only dicts, lists, numbers, strings and tensors in a training state."
        )
