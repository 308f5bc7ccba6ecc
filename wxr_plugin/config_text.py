"""The network in the text of an MMEngine config, read without running it."""

import ast
import inspect
from collections.abc import Mapping
from typing import Any

SCOPE = "wxr_plugin."


def network_of(meta: Any) -> dict[str, Any] | None:
    """The `generator` of the config in a checkpoint's `meta`, as a `network_g` block; None if it is none of ours.

    MMEngine keeps the config as Python, of which only `dict(...)` and literals are looked at here. A type without a
    scope may be another package's network of the same name; then its arguments tell, or strict loading does.
    """
    text = meta.get("cfg") if isinstance(meta, Mapping) else None
    model = _assigned(text, "model") if isinstance(text, str) else None
    network = model.get("generator") if isinstance(model, dict) else None
    return _ours(network) if isinstance(network, dict) and isinstance(network.get("type"), str) else None


def _ours(network: dict[str, Any]) -> dict[str, Any] | None:
    from basicsr.utils.registry import ARCH_REGISTRY

    from wxr_plugin.namesakes import our_network

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
            if isinstance(line, ast.Assign) and [ast.unparse(target) for target in line.targets] == [name]:
                return _value(line.value)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)
