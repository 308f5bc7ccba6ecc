"""Registration and application of repairs."""

import functools
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Fault = Callable[[Any], bool]
"""Returns whether the original function has the fault."""


class Repair(NamedTuple):
    """A function that replaces one of BasicSR.

    Attributes:
        place: `module:name` or `module:Class.name`.
        fault: whether the function there needs the repair.
        function: the replacement `f(original, *args)`.
    """

    place: str
    fault: Fault
    function: Callable


REPAIRS: list[Repair] = []


def repairs(place: str, fault: Fault) -> Callable[[Callable], Callable]:
    """Register a function `f(original, *args)` as the repair of `place`; a decorator."""

    def register(function: Callable) -> Callable:
        REPAIRS.append(Repair(place, fault, function))
        return function

    return register


def uses(*words: str) -> Fault:
    """Return a test that the code of a function uses one of these names or constants."""

    def fault(original: Callable) -> bool:
        code = inspect.unwrap(original).__code__
        used = (*code.co_names, *code.co_varnames, *code.co_consts)
        return any(word in used for word in words)

    return fault


def lacks(*words: str) -> Fault:
    """Return a test that the code of a function uses none of these names and constants."""
    return lambda original: not uses(*words)(original)


def apply_all(repairs: Sequence[Repair] = REPAIRS) -> None:
    """Apply repairs in their order, by default all that are registered."""
    replaced = {}
    for repair in repairs:
        replaced |= _apply(repair)
    # Once for all: torch alone has a thousand modules.
    _rebind(replaced)


def _apply(repair: Repair) -> dict[int, tuple[Any, Any]]:
    """Replace the function at `repair.place`, unless it is repaired or has no fault.

    Returns:
        id of the function -> itself and its replacement, if it may have been imported by name.
    """
    module_name, _, path = repair.place.partition(":")
    owner = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    # wraps() keeps the original as __wrapped__, and repaired_by marks a place that is done.
    if hasattr(original, "repaired_by") or not repair.fault(original):
        return {}

    @functools.wraps(original)
    def repaired(*args: Any, **kwargs: Any) -> Any:
        return repair.function(original, *args, **kwargs)

    repaired.repaired_by = repair.function
    setattr(owner, name, repaired)
    # Methods are found through their class; functions may have been imported by name.
    return {id(original): (original, repaired)} if isinstance(owner, types.ModuleType) else {}


def _rebind(replaced: Mapping[int, tuple[Any, Any]]) -> None:
    """Replace functions in every loaded module that has imported them by name."""
    for module in list(sys.modules.values()) if replaced else ():
        namespace = getattr(module, "__dict__", {})
        names = [name for name, value in list(namespace.items()) if id(value) in replaced]
        for name in names:
            _, namespace[name] = replaced[id(namespace[name])]
