"""Reading of torch files that name other classes than tensors, without running any code of them.

torch.load(weights_only=True) refuses argparse.Namespace and whole pickled networks, and its
safe_globals accept only imported classes by their exact names, and no network saved in torch's
older format. Here such classes become empty stand-ins that hold state; a short list of functions
rebuilds tensors; every other name is refused.
"""

import fnmatch
import os
import pickle
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from wxr_plugin.checkpoints.mmengine_pickles import STATISTICS

HARMLESS = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "pathlib.*Path",
    "datetime.*",
    "torch.nn.*",
    "torch.optim.*",
    "numpy.*",
    "pytorch_lightning.*",
    "lightning.*",
    "omegaconf.*",
    "easydict.EasyDict",
    "addict.*",
    "yacs.config.CfgNode",
    "mmcv.*",
    "mmengine.*",
)  # fmt: skip
"""Patterns of the classes that other projects store with weights; none is imported or called."""
PYTHON2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Module names of Python 2 -> those of Python 3."""


class RefusedError(pickle.UnpicklingError):
    """A file names something that no checkpoint needs."""


class StandIn:
    """Replacement of an object of a class that is not imported.

    `state` is its pickled state, if it has any.
    """

    __slots__ = ("state",)

    def __new__(cls, *args: Any, **kwargs: Any) -> "StandIn":
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        self.state: Any = {}

    def __setitem__(self, key: Any, value: Any) -> None:
        """Drop an item of a subclass of dict."""

    def extend(self, items: Any) -> None:
        """Drop items of a subclass of list or set."""

    append = add = update = extend


def read(path: str | os.PathLike, classes: tuple[str, ...] = (), mapped: bool = False) -> Any:
    """Read a torch file that may name `classes` in addition to `HARMLESS` ones.

    Call it after weights_only=True has failed with an UnpicklingError, which rules out TorchScript
    and tar archives.

    Args:
        path: the file.
        classes: patterns of full names.
        mapped: leave the numbers in the file until they are used.

    Raises:
        RefusedError: the file names anything else, or holds a network that contains itself; no code
            of it was run.
        Exception: any error that torch raises for a broken file.
    """

    class Unpickler(_Unpickler):
        allowed = HARMLESS + tuple(classes)

    def load(file: Any, **options: Any) -> Any:
        return Unpickler(file, **options).load()

    # torch uses these two of a `pickle_module`, and its name.
    loader = SimpleNamespace(Unpickler=Unpickler, load=load)
    loader.__name__ = "pickle"
    with warnings.catch_warnings():
        # torch warns that it cannot compare the sources of stand-ins.
        warnings.simplefilter("ignore")
        content = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=loader, mmap=mapped
        )
    _refuse_cycles(content, above=())
    return content


def _refuse_cycles(content: Any, above: tuple[int, ...]) -> None:
    """Raise RefusedError if a network in `content` contains itself.

    `above` are the ids of the objects that contain `content`.
    """
    if id(content) in above:
        if is_network(content):
            raise RefusedError("a network that contains itself")
        return
    if is_network(content):
        parts = [part for part in content.state["_modules"].values() if is_network(part)]
    else:
        parts = list(content.values()) if isinstance(content, dict) else []
    for part in parts:
        _refuse_cycles(part, (*above, id(content)))


def is_network(content: Any) -> bool:
    """Return whether `content` is the stand-in of a torch module."""
    if not isinstance(content, StandIn):
        return False
    return isinstance(content.state, dict) and "_modules" in content.state


def state_dict(network: StandIn) -> dict[str, Tensor]:
    """Return the state dict of a network's stand-in, as its class would."""
    return dict(_tensors(network, ""))


def _tensors(network: StandIn, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors in the order of torch: own parameters, own buffers, sub-modules."""
    state = network.state
    hidden = state.get("_non_persistent_buffers_set", ())
    for kind in ("_parameters", "_buffers"):
        for name, tensor in (state.get(kind) or {}).items():
            if isinstance(tensor, Tensor) and name not in hidden:
                yield prefix + name, tensor.detach()
    for name, part in state["_modules"].items():
        if is_network(part):
            yield from _tensors(part, f"{prefix}{name}.")


class _Unpickler(pickle._Unpickler):
    """Python's unpickler in Python, because that in C does not let BUILD be overridden."""

    allowed: tuple[str, ...] = ()

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a name; nothing is imported."""
        full = f"{PYTHON2.get(module, module)}.{name}"
        if full in _known():
            return _known()[full]
        if any(fnmatch.fnmatchcase(full, pattern) for pattern in self.allowed):
            return _stand_in(full)
        raise RefusedError(full)

    def _build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, StandIn):
            target.state = state
        # The attributes of an OrderedDict (a state dict has _metadata) are dropped.
        elif type(target) is not OrderedDict:
            raise RefusedError(f"a state for a {type(target).__name__}")

    dispatch = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: _build}


def _statistic(owner: type, name: str) -> None:
    """Replace getattr, which MMEngine's log uses for the statistics of its histories alone."""
    history = _stand_in("mmengine.logging.history_buffer.HistoryBuffer")
    if owner is not history or name not in STATISTICS:
        raise RefusedError("builtins.getattr")


@cache
def _stand_in(full: str) -> type:
    return type(full.rpartition(".")[2], (StandIn,), {"__slots__": (), "dump_patches": False})


@cache
def _known() -> dict[str, Any]:
    """Return full name -> the class or function that replaces it."""
    kinds = (set, dict, list, tuple, int, float)
    plain: dict[str, Callable] = {f"builtins.{kind.__name__}": kind for kind in kinds}
    dtypes = {str(kind): kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)}
    # Lambdas take the arguments of the pickle and drop those that could do more than rebuild.
    return {
        **plain,
        **dtypes,
        "builtins.object": StandIn,
        "builtins.getattr": _statistic,
        "collections.OrderedDict": OrderedDict,
        "collections.defaultdict": lambda *_: {},
        "collections.Counter": Counter,
        "copyreg._reconstructor": lambda kind, *_: StandIn.__new__(kind),
        "_codecs.encode": lambda text, *_: text.encode("latin1"),
        "torch.Size": torch.Size,
        "torch.device": torch.device,
        "torch._utils._rebuild_tensor": lambda *parts: torch._utils._rebuild_tensor(*parts),
        "torch._utils._rebuild_tensor_v2": lambda *parts: torch._utils._rebuild_tensor(*parts[:4]),
        "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
        "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
        "torch.nn.parameter.Parameter": lambda tensor, *_: tensor,
        "torch.serialization._get_layout": lambda *_: None,
    }
