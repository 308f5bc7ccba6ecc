"""Reading what MMEngine's Runner keeps beside the weights, without running code of a file.

A checkpoint of MMEngine holds the histories of its log: `HistoryBuffer` objects around numpy
arrays, and a `getattr` for each of their four statistics. torch.load(weights_only=True) refuses all
that, so mmengine 0.10.7 cannot resume under torch 2.6 and later. Here these names stand for classes
of our own, which take numbers and nothing else; torch's own restricted unpickler does the reading
and refuses every other name.
"""

import ast
import inspect
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

STATISTICS = ("min", "max", "mean", "current")
NUMBERS = "biuf"
"""Kinds of numpy's dtypes that a log has: booleans, integers, floats."""


class _Dtype:
    """In place of numpy.dtype: its name, and the order of bytes that BUILD gives."""

    def __init__(self, name: str, *_: Any):
        self.order = "="
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    def read(self, data: bytes) -> np.ndarray:
        """A copy of the numbers in `data`."""
        kind = np.dtype(self.name)
        if kind.kind not in NUMBERS or not isinstance(data, bytes):
            raise UnpicklingError(f"Unsupported GLOBAL numpy.dtype of {kind}")
        return np.frombuffer(data, kind.newbyteorder(self.order)).astype(kind)


class _Array:
    """In place of an array that is rebuilt."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, column_order, data = state
        self.value = dtype.read(data).reshape(shape, order="F" if column_order else "C")


class _History:
    """In place of a HistoryBuffer."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        parts = [state["_log_history"], state["_count_history"]]
        self.arrays = [part.value for part in parts if isinstance(part, _Array)]
        self.length = int(state["max_length"])


def _array(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    return dtype.read(data)[0]


def _statistic(owner: type, name: str) -> None:
    """In place of getattr: for the statistics of a HistoryBuffer, which it knows without being told."""
    if owner is not _History or name not in STATISTICS:
        raise UnpicklingError(f"Unsupported GLOBAL getattr of {name!r}")


def readable() -> AbstractContextManager:
    """Within the block, torch.load(weights_only=True) reads MMEngine's message hub; `rebuilt` makes sense of it."""
    names = {"numpy.dtype": _Dtype, "numpy.ndarray": _Array, "builtins.getattr": _statistic}
    names["mmengine.logging.history_buffer.HistoryBuffer"] = _History
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names |= {f"{module}._reconstruct": _array, f"{module}.scalar": _scalar}
    return torch.serialization.safe_globals([(value, name) for name, value in names.items()])


def rebuilt(content: Any) -> Any:
    """`content` with numpy's arrays and MMEngine's histories where `readable` has put our own classes."""
    if isinstance(content, _Array):
        return content.value
    if isinstance(content, _History):
        return _history(content)
    if isinstance(content, dict):
        for key in content:  # not update(), which adds to what a Counter has
            content[key] = rebuilt(content[key])
    elif type(content) in (list, tuple):
        return type(content)(_rebuilt_all(content))
    return content


def _rebuilt_all(items: Iterable[Any]) -> list[Any]:
    return [rebuilt(item) for item in items]


def _history(found: _History) -> Any:
    from mmengine.logging import HistoryBuffer

    values, counts = found.arrays
    return HistoryBuffer(values, counts, found.length)


SCOPE = "wxr_plugin."


def network_of(meta: Any) -> dict[str, Any] | None:
    """The `generator` of the config in a checkpoint's `meta`, as a `network_g` block; None if it is none of ours.

    MMEngine keeps the config as Python, of which only `dict(...)` and literals are looked at here.
    A type without a scope may be another package's network of the same name; then its arguments
    tell, or strict loading does.
    """
    text = meta.get("cfg") if isinstance(meta, Mapping) else None
    model = _assigned(text, "model") if isinstance(text, str) else None
    network = model.get("generator") if isinstance(model, dict) else None
    return (
        _ours(network)
        if isinstance(network, dict) and isinstance(network.get("type"), str)
        else None
    )


def _ours(network: dict[str, Any]) -> dict[str, Any] | None:
    from basicsr.utils.registry import ARCH_REGISTRY

    from wxr_plugin.utils.namesakes import our_network

    block = {**network, "type": network["type"].removeprefix(SCOPE)}
    if network["type"].startswith(SCOPE):
        block = our_network(block)
    known = dict(iter(ARCH_REGISTRY)).get(block["type"])
    arguments = {key: value for key, value in block.items() if key != "type"}
    try:
        inspect.signature(known).bind(**arguments)
    except TypeError:  # no such network, or not its arguments
        return None
    return block


def _assigned(text: str, name: str) -> Any:
    """The value of the assignment `name = …` in `text`; None where it is more than `dict(...)` and literals."""
    try:
        for line in ast.parse(text).body:
            if isinstance(line, ast.Assign) and [
                ast.unparse(target) for target in line.targets
            ] == [name]:
                return _value(line.value)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return None


def _value(node: ast.expr) -> Any:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "dict"
        and not node.args
    ):
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)
