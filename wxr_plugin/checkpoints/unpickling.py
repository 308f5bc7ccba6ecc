"""Reading torch files that name classes besides tensors, without running code of theirs or of the file.

torch.load(weights_only=True) refuses argparse.Namespace and whole pickled networks, and its
safe_globals take only classes that are imported, by their exact names, and no network saved in
torch's older format. Here such classes become empty stand-ins that hold state; a short list of
functions rebuilds tensors; every other name is refused.
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
"""What others keep beside weights. Nothing of these is imported or called."""
PYTHON2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class RefusedError(pickle.UnpicklingError):
    """A name that no checkpoint needs."""


class StandIn:
    """An object of a class that is not here: `state` is what the file has of it, if anything."""

    __slots__ = ("state",)

    def __new__(cls, *args: Any, **kwargs: Any) -> "StandIn":
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        self.state: Any = {}

    def __setitem__(self, key: Any, value: Any) -> None:
        """Items of a dict's subclass are not kept."""

    def extend(self, items: Any) -> None:
        """Nor are those of a list's."""

    append = add = update = extend


def read(path: str | os.PathLike, classes: tuple[str, ...] = (), mapped: bool = False) -> Any:
    """The content of a torch file; `classes` may be named in it, beside `HARMLESS` ones: patterns of full names.

    Call it after weights_only=True has failed with an UnpicklingError, which rules out TorchScript
    and tar archives.

    Raises:
        RefusedError: the file names something else, or holds a network that contains itself;
            nothing of it has run.
        Exception: what torch raises for a broken file.
    """

    class Unpickler(_Unpickler):
        allowed = HARMLESS + tuple(classes)

    loader = SimpleNamespace(
        Unpickler=Unpickler, load=lambda file, **how: Unpickler(file, **how).load()
    )
    loader.__name__ = "pickle"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the sources of stand-ins cannot be compared
        content = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=loader, mmap=mapped
        )
    _refuse_cycles(content, above=())
    return content


def _refuse_cycles(content: Any, above: tuple[int, ...]) -> None:
    """Raise RefusedError if a network in `content` contains itself; `above` are the ids of what `content` lies in."""
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


def is_network(thing: Any) -> bool:
    """Whether `thing` stands in for a torch module."""
    return (
        isinstance(thing, StandIn) and isinstance(thing.state, dict) and "_modules" in thing.state
    )


def state_dict(network: StandIn) -> dict[str, Tensor]:
    """Names and tensors of a network's stand-in, as its class would give them."""
    return dict(_tensors(network, ""))


def _tensors(network: StandIn, prefix: str) -> Iterator[tuple[str, Tensor]]:
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
    """Python's own unpickler in Python (the one in C cannot be told what BUILD may do)."""

    allowed: tuple[str, ...] = ()

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for here; nothing is imported."""
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
        elif type(target) is not OrderedDict:  # of which the attributes are of no use
            raise RefusedError(f"a state for a {type(target).__name__}")

    dispatch = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: _build}


def _statistic(owner: type, name: str) -> None:
    """MMEngine's log names the statistics of its histories by getattr; nothing else may."""
    if (
        owner is not _stand_in("mmengine.logging.history_buffer.HistoryBuffer")
        or name not in STATISTICS
    ):
        raise RefusedError("builtins.getattr")


@cache
def _stand_in(full: str) -> type:
    return type(full.rpartition(".")[2], (StandIn,), {"__slots__": (), "dump_patches": False})


@cache
def _known() -> dict[str, Any]:
    """Full names -> what may be called or made in their place."""
    plain: dict[str, Callable] = {
        f"builtins.{kind.__name__}": kind for kind in (set, dict, list, tuple, int, float)
    }
    dtypes = {str(kind): kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)}
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
