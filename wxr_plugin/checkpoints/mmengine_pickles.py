"""Reading of the objects that MMEngine's Runner stores with the weights, without running code.

A checkpoint of MMEngine holds the histories of its log: `HistoryBuffer` objects around numpy
arrays, and a `getattr` for each of their four statistics. torch.load(weights_only=True) refuses
them, so mmengine 0.10.7 cannot resume under torch 2.6 and later. Here these names are mapped to
classes of this module, which accept only numbers; torch's own restricted unpickler reads the file
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
"""Kinds of numpy's dtypes in a log: booleans, integers, floats."""
SCOPE = "wxr_plugin."
"""Prefix of this package's types in a config of MMEngine."""


class _Dtype:
    """Replacement of numpy.dtype: its name, and the byte order that BUILD sets."""

    def __init__(self, name: str, *_: Any):
        self.order = "="
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    def read(self, data: bytes) -> np.ndarray:
        """Return a copy of the numbers in `data`."""
        kind = np.dtype(self.name)
        if kind.kind not in NUMBERS or not isinstance(data, bytes):
            raise UnpicklingError(f"Unsupported GLOBAL numpy.dtype of {kind}")
        return np.frombuffer(data, kind.newbyteorder(self.order)).astype(kind)


class _Array:
    """Replacement of numpy.ndarray."""

    def __setstate__(self, state: tuple) -> None:
        # The state that numpy pickles: version, shape, dtype, whether Fortran order, bytes.
        _, shape, dtype, column_order, data = state
        self.value = dtype.read(data).reshape(shape, order="F" if column_order else "C")


class _History:
    """Replacement of MMEngine's HistoryBuffer."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        parts = [state["_log_history"], state["_count_history"]]
        self.arrays = [part.value for part in parts if isinstance(part, _Array)]
        self.length = int(state["max_length"])


def _array(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    return dtype.read(data)[0]


def _statistic(owner: type, name: str) -> None:
    """Replace getattr for a HistoryBuffer's statistics, which a new buffer has by itself."""
    if owner is not _History or name not in STATISTICS:
        raise UnpicklingError(f"Unsupported GLOBAL getattr of {name!r}")


def readable() -> AbstractContextManager:
    """Let torch.load(weights_only=True) read MMEngine's message hub within the block.

    `rebuilt` converts the result.
    """
    names = {
        "numpy.dtype": _Dtype,
        "numpy.ndarray": _Array,
        "builtins.getattr": _statistic,
        "mmengine.logging.history_buffer.HistoryBuffer": _History,
    }
    # numpy 2 moved the module.
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names[f"{module}._reconstruct"] = _array
        names[f"{module}.scalar"] = _scalar
    return torch.serialization.safe_globals([(value, name) for name, value in names.items()])


def rebuilt(content: Any) -> Any:
    """Return `content` with numpy's arrays and MMEngine's histories instead of replacements."""
    if isinstance(content, _Array):
        return content.value
    if isinstance(content, _History):
        return _history(content)
    if isinstance(content, dict):
        for key in content:  # not update(), which adds to the counts of a Counter
            content[key] = rebuilt(content[key])
    elif type(content) in (list, tuple):
        return type(content)(_rebuilt_all(content))
    return content


def _rebuilt_all(items: Iterable[Any]) -> list[Any]:
    return [rebuilt(item) for item in items]


def _history(replacement: _History) -> Any:
    from mmengine.logging import HistoryBuffer

    values, counts = replacement.arrays
    return HistoryBuffer(values, counts, replacement.length)


def network_of(meta: Any) -> dict[str, Any] | None:
    """Return the `generator` of the config in a checkpoint's `meta` as a `network_g` block.

    None if it is not a network of this package. MMEngine stores the config as Python, of which only
    `dict(...)` and literals are read here. A type without a scope may be another package's network
    of the same name; its arguments show that, or strict loading does.
    """
    text = meta.get("cfg") if isinstance(meta, Mapping) else None
    model = _assigned(text, "model") if isinstance(text, str) else None
    network = model.get("generator") if isinstance(model, dict) else None
    if not isinstance(network, dict) or not isinstance(network.get("type"), str):
        return None
    return _own_network(network)


def _own_network(network: dict[str, Any]) -> dict[str, Any] | None:
    from basicsr.utils.registry import ARCH_REGISTRY

    from wxr_plugin.utils.namesakes import our_network

    block = {**network, "type": network["type"].removeprefix(SCOPE)}
    if network["type"].startswith(SCOPE):
        block = our_network(block)
    network_class = dict(iter(ARCH_REGISTRY)).get(block["type"])
    arguments = {key: value for key, value in block.items() if key != "type"}
    try:
        inspect.signature(network_class).bind(**arguments)
    except TypeError:  # no such network, or not its arguments
        return None
    return block


def _assigned(text: str, name: str) -> Any:
    """Return the value assigned to `name` in `text`; None unless it is `dict` and literals."""
    try:
        for line in ast.parse(text).body:
            if isinstance(line, ast.Assign) and _targets(line) == [name]:
                return _value(line.value)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return None


def _targets(line: ast.Assign) -> list[str]:
    return [ast.unparse(target) for target in line.targets]


def _value(node: ast.expr) -> Any:
    """Evaluate `dict(...)` and literals. Raises ValueError for anything else."""
    if _is_dict_call(node):
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)


def _is_dict_call(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or node.args:
        return False
    return isinstance(node.func, ast.Name) and node.func.id == "dict"
