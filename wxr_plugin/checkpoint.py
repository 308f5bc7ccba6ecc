"""Checkpoints: weights in their many containers, one training state a file, and the random generators' state.

Nothing here runs code from a file: pickles are read with `weights_only=True`, which for checkpoints of MMEngine knows
the histories of its log (`wxr_plugin.message_hub`), or, of published weights, with stand-ins for what lies beside them
(`wxr_plugin.stand_ins`); safetensors hold no code at all.
Everything is written through `wxr_plugin.files`, so that a file under its final name is always whole.
"""

import json
import os
import pickle
import random
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from wxr_plugin import config_text, message_hub, stand_ins
from wxr_plugin.errors import WxrError
from wxr_plugin.files import write_with

CONTAINERS = (
    "params_ema", "ema_helper", "g_ema", "model_ema", "params", "state_dict", "model_state_dict", "model", "net",
    "net_g", "netG", "generator", "network", "weights", "G",
)  # fmt: skip
"""Keys under which others keep their weights; the first that is there counts. EMA weights lead: they restore best."""
JAX = ".npz"
WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile leave on parameter names."""
_SCALARS = (bool, int, float, str, type(None))
_SEQUENCES = (list, tuple, set, torch.Size)
_MAPPINGS = (dict, OrderedDict, Counter, defaultdict)


class CheckpointError(WxrError):
    """A checkpoint that cannot be read, or that must not be."""


def save_state(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write `state` to `path` in one step.

    Raises:
        TypeError: something in `state` is no plain type or tensor, so `load_state` would refuse it later; the place is
            named and nothing is written.
        OSError, RuntimeError: the disk is full or the like; what was at `path` is as it was.
    """
    _check_plain(state, "state")
    write_with(path, lambda file: torch.save(state, file))


def load_state(path: str | os.PathLike) -> dict[str, Any]:
    """Read what `save_state` wrote, with every tensor on the CPU. Checksums are compared, which torch does not.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is broken, holds code, or holds no dict.
    """
    state = _load_dict(path)
    if zipfile.is_zipfile(path) and not is_whole(path):
        raise CheckpointError(f"{path}: no checkpoint, or a broken one (a checksum does not fit).")
    return state


def load_any(path: str | os.PathLike) -> dict[str, Any]:
    """Read a file of MMEngine's Runner, or any other of tensors and plain types, with every tensor on the CPU.

    Raises as `load_state`.
    """
    return _load_dict(path)


def is_whole(path: str | os.PathLike) -> bool:
    """Whether `path` is a complete torch file: its archive opens and every checksum in it fits."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def load_weights(path: str | os.PathLike, key: str | None = None, mapped: bool = False) -> dict[str, torch.Tensor]:
    """Read a network's weights from a .safetensors file or from any common kind of .pth/.pt/.ckpt file.

    Args:
        path: the file. BasicSR's {'params', 'params_ema'}, {'state_dict'} (Lightning too), {'model'} and others of
            `CONTAINERS`, bare state dicts and whole networks are known; `module.` and `_orig_mod.` are taken off the
            names. An .npz is JAX weights of MAXIM, which are converted.
        key: the container's key, such as 'params_ema', or a path of keys, 'state_dict/model_R'. When None, or when the
            file lacks a 'params_ema' that was asked for, the first of `CONTAINERS` that is there.
        mapped: leave the numbers in the file until they are read, for those who look at names and shapes alone.

    Returns:
        Parameter name -> tensor on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is broken, holds code, lacks `key`, or holds no weights.
    """
    return find_weights(read_content(path, mapped), key, path)


def read_content(path: str | os.PathLike, mapped: bool = False) -> dict[str, Any]:
    """What a file of weights holds, containers and all; `mapped` as in `load_weights`.

    Raises as `load_weights`.
    """
    if Path(path).suffix == ".safetensors":
        return _load_safetensors(path)
    if Path(path).suffix == JAX:
        return _load_jax(path)
    content = _read_pickle(path, mapped, published=True)
    return stand_ins.state_dict(content) if stand_ins.is_network(content) else _checked_dict(content, path)


def find_weights(content: dict[str, Any], key: str | None, path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The weights in the `content` of the file `path`; as `load_weights`."""
    weights = _open_container(content, key, path)
    odd = [name for name, value in weights.items() if not isinstance(value, torch.Tensor)]
    if odd or not weights:
        what = f"{odd[0]!r} is a {type(weights[odd[0]]).__name__}" if odd else "it is empty"
        raise CheckpointError(
            f"{path}: no weights ({what}). Name the container's key; the file has {list(content)[:8]}."
        )
    return {_unwrap(name): value for name, value in weights.items()}


def load_network_options(path: str | os.PathLike, block: str = "network_g") -> dict[str, Any] | None:
    """The `network_g` block that our models store beside the weights: a .pth's own key, or safetensors metadata.

    Of a checkpoint of MMEngine it is the generator in its config, if that is a network of ours. `block` names another
    block that a model stores: IRSDEModel its `sde`.

    None if the file has none, or is a folder. Raises as `load_weights`.
    """
    if Path(path).is_dir() or Path(path).suffix == JAX:
        return None
    if os.fspath(path).endswith(".safetensors"):
        try:
            with safe_open(path, "pt") as file:
                stored = (file.metadata() or {}).get(block)
        except SafetensorError as error:
            raise CheckpointError(f"{path}: not a safetensors file, or a broken one ({error}).") from error
        return json.loads(stored) if stored else None
    content = read_content(path, mapped=True)
    stored = content.get(block)
    if stored is None and block == "network_g":
        stored = config_text.network_of(content.get("meta"))
    return stored if isinstance(stored, dict) else None


def fit_prefix(weights: Mapping[str, torch.Tensor], expected: Iterable[str]) -> dict[str, torch.Tensor]:
    """Take off the one prefix (such as Lightning's `net.`) behind which all `expected` names are found.

    When there is no such prefix, or none is needed, `weights` come back as they are. Of several, MMEngine's average
    (`generator_ema.`) comes first.
    """
    expected = set(expected)
    if not expected or expected & set(weights):
        return dict(weights)
    probe = min(expected)
    prefixes = {name[: -len(probe)] for name in weights if name.endswith("." + probe)}
    for prefix in sorted(prefixes, key=lambda prefix: (not prefix.endswith("_ema."), len(prefix))):
        inner = {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}
        if expected <= set(inner):
            return inner
    return dict(weights)


def rng_state() -> dict[str, Any]:
    """State of this process's global random generators (python, numpy, torch, CUDA), in plain types and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    cuda = (
        [torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_initialized() else []
    )
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put the generators back to what `rng_state` gave. CUDA devices that are no longer there are passed over."""
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    devices = torch.cuda.device_count() if state["cuda"] else 0
    for device, cuda in zip(range(devices), state["cuda"]):
        torch.cuda.set_rng_state(cuda, device)


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Whatever the block draws from the global generators, they continue afterwards as if it had not run."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


def _load_dict(path: str | os.PathLike) -> dict[str, Any]:
    return _checked_dict(_read_pickle(path, mapped=False, published=False), path)


def _checked_dict(content: Any, path: str | os.PathLike) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a dict. Give a checkpoint file.")
    return content


def _read_pickle(path: str | os.PathLike, mapped: bool, published: bool) -> Any:
    """`published`: what lies beside the weights may be of classes that are not here."""
    with open(path, "rb"):
        pass  # what is wrong with the path itself; torch raises OSError for damaged contents too
    mapped = mapped and zipfile.is_zipfile(path)  # torch's older format cannot be
    try:
        with message_hub.readable():
            return message_hub.rebuilt(torch.load(path, map_location="cpu", weights_only=True, mmap=mapped))
    except MemoryError:
        raise
    except Exception as error:
        if published and isinstance(error, pickle.UnpicklingError):
            return _read_published(path, mapped, error)
        raise _unreadable(path, error) from error


def _read_published(path: str | os.PathLike, mapped: bool, first: Exception) -> Any:
    from wxr_plugin.zoo.rows import rows

    try:
        return stand_ins.read(path, tuple({name for row in rows().values() for name in row.classes}), mapped)
    except stand_ins.RefusedError as error:
        raise _refused(path, str(error)) from error
    except MemoryError:
        raise
    except Exception:
        raise _unreadable(path, first) from first


def _unreadable(path: str | os.PathLike, error: Exception) -> CheckpointError:
    reason = str(error.__context__ or error).strip().split(". ")[0] or type(error).__name__
    if "GLOBAL" in reason:
        return _refused(path, reason)
    return CheckpointError(f"{path}: no checkpoint, or a broken one, perhaps cut short ({reason}).")


def _refused(path: str | os.PathLike, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: refused, since loading it would run code that is no part of a checkpoint ({what}). "
        "Ask its author for a state dict or a .safetensors file."
    )


def _load_safetensors(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file, or a broken one ({error}).") from error


def _load_jax(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    from wxr_plugin.archs.maxim_weights import from_jax

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return from_jax(arrays)
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise CheckpointError(f"{path}: no .npz file of arrays, or a broken one ({error}).") from error


def _open_container(loaded: dict[str, Any], key: str | None, path: str | os.PathLike) -> dict[str, Any]:
    if key is not None and (asked := _at(loaded, key)) is not None:
        return asked
    known = [name for name in CONTAINERS if _at(loaded, name) is not None]
    bare = all(isinstance(value, torch.Tensor) for value in loaded.values())
    if key not in (None, "params", "params_ema") or (key == "params" and known == ["params_ema"]):
        raise CheckpointError(f"{path}: no key {key!r}. The file has {list(loaded)[:8]}.")
    return loaded if bare or not known else _at(loaded, known[0])


def _at(loaded: dict[str, Any], key: str) -> dict[str, Any] | None:
    """The dict at a path of keys, or the state dict of the network there; None where there is neither."""
    found: Any = loaded
    for step in key.split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    if stand_ins.is_network(found):
        return stand_ins.state_dict(found)
    return found if isinstance(found, dict) else None


def _unwrap(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "") if wrapper == "_orig_mod." else name.removeprefix(wrapper)
    return name


def _check_plain(value: Any, place: str) -> None:
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
