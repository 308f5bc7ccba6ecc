"""Reading of files of weights and training states without running code from them.

Pickles are read with `weights_only=True`, extended for the log histories in checkpoints of MMEngine
(`mmengine_pickles`); published weights may need stand-ins for further objects (`unpickling`).
safetensors hold no code at all.
"""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from wxr_plugin.checkpoints import mmengine_pickles, unpickling
from wxr_plugin.errors import WxrError

StrPath = str | os.PathLike
JAX = ".npz"
published_classes: Callable[[], tuple[str, ...]] = tuple
"""Returns the names of the classes in published files; the zoo sets it on import."""


class CheckpointError(WxrError):
    """A checkpoint that cannot be read, or that is refused."""


def read_content(path: StrPath, mapped: bool = False) -> dict[str, Any]:
    """Read all of a file of weights, with its containers; `mapped` as in `load_weights`.

    Raises as `load_weights`.
    """
    if Path(path).suffix == ".safetensors":
        return _load_safetensors(path)
    if Path(path).suffix == JAX:
        return _load_jax(path)
    content = _read_pickle(path, mapped, published=True)
    if unpickling.is_network(content):
        return unpickling.state_dict(content)
    return _checked_dict(content, path)


def read_dict(path: StrPath) -> dict[str, Any]:
    """Read a pickled dict of tensors and plain types, or a checkpoint of MMEngine, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is broken, holds code, or holds no dict.
    """
    return _checked_dict(_read_pickle(path, mapped=False, published=False), path)


def is_whole(path: StrPath) -> bool:
    """Return whether `path` is a complete torch file: its archive opens and checksums match."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _checked_dict(content: Any, path: StrPath) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: holds a {type(content).__name__}, not a dict. Give a checkpoint file."
        )
    return content


def _read_pickle(path: StrPath, mapped: bool, published: bool) -> Any:
    """Read a pickle on the CPU; a `published` one may contain objects of unavailable classes."""
    # Raises FileNotFoundError and the like; torch raises OSError for damaged contents too.
    with open(path, "rb"):
        pass
    mapped = mapped and zipfile.is_zipfile(path)  # torch's older format cannot be mapped
    try:
        with mmengine_pickles.readable():
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
            return mmengine_pickles.rebuilt(content)
    except MemoryError:
        raise
    except Exception as error:  # torch raises almost anything on damaged data
        if published and isinstance(error, pickle.UnpicklingError):
            return _read_published(path, mapped, error)
        raise _unreadable(path, error) from error


def _read_published(path: StrPath, mapped: bool, first: Exception) -> Any:
    try:
        return unpickling.read(path, published_classes(), mapped)
    except unpickling.RefusedError as error:
        raise _refused(path, str(error)) from error
    except MemoryError:
        raise
    except Exception:
        raise _unreadable(path, first) from first


def _unreadable(path: StrPath, error: Exception) -> CheckpointError:
    # torch wraps the unpickler's error in advice of several sentences; the first one is the reason.
    reason = str(error.__context__ or error).strip().split(". ")[0] or type(error).__name__
    # "Unsupported global: GLOBAL module.name": the pickle names something to be called.
    if "GLOBAL" in reason:
        return _refused(path, reason)
    return CheckpointError(f"{path}: no checkpoint, or a broken one, perhaps cut short ({reason}).")


def _refused(path: StrPath, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: refused, since loading it would run code that does not belong to a checkpoint "
        f"({reason}). "
        "Ask its author for a state dict or a .safetensors file."
    )


def _load_safetensors(path: StrPath) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a safetensors file, or a broken one ({error})."
        ) from error


def _load_jax(path: StrPath) -> dict[str, torch.Tensor]:
    from wxr_plugin.checkpoints.maxim_jax import from_jax

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return from_jax(arrays)
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise CheckpointError(
            f"{path}: not a .npz file of arrays, or a broken one ({error})."
        ) from error
