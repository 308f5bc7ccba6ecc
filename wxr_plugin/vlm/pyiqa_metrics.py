"""Loading of pyiqa's metrics, with weights from a file or its own, and advice on missing files."""

import contextlib
import importlib.util
import io
import pickle
import sys
import tempfile
import traceback
import types
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.hub import fetched_file
from wxr_plugin.utils.extras import imported
from wxr_plugin.utils.offline import apply_offline
from wxr_plugin.utils.patching import patched
from wxr_plugin.vlm.catalog import nearest, read_data
from wxr_plugin.vlm.fetch import first_line

TORCHVISION = ("alexnet", "vgg16", "squeezenet1_1")
"""Backbones of torchvision in LPIPS and similar metrics."""

_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    ImportError,
    EOFError,
    pickle.UnpicklingError,
)


@lru_cache
def load_metric(name: str, weights: str | None, device: torch.device) -> torch.nn.Module:
    """Return the metric `name`, loaded once per process.

    It takes float RGB (N, 3, H, W) in [0, 1], twice if it is a full-reference metric.

    Args:
        name: name of the metric in pyiqa.
        weights: file, or reference to the hub, for pyiqa's `pretrained_model_path` with all weights
            of the network; backbones of timm and torchvision are not downloaded then. None means
            pyiqa's own files, in the hub folder of torch.
        device: device of the metric.

    Raises:
        WxrError: a file is missing (the message says where to put it), or weights do not fit.
    """
    if weights is not None:
        weights = str(fetched_file(weights))
    if weights is not None and not Path(weights).is_file():
        raise WxrError(
            f"weights of the metric '{name}': {weights} does not exist; correct the path"
        )
    if weights is not None:
        _refuse_code(name, weights)
    apply_offline()
    try:
        metric = _create(name, weights, device)
    except _ERRORS as error:
        metric = None
        if weights is not None:
            metric = _create_from_other_form(name, weights, device)
        if metric is None:
            raise WxrError(failure_message(name, weights, error)) from error
    if weights is not None:
        _check_complete(name, weights, metric.net)
    return metric.eval().requires_grad_(False)


def check_name(name: str, mode: Literal["NR", "FR"] = "NR") -> None:
    """Raise WxrError unless pyiqa has a metric `name` of the mode NR (one image) or FR (two)."""
    configs = imported("pyiqa.default_model_configs").DEFAULT_CONFIGS
    names = [key for key, config in configs.items() if config["metric_mode"] == mode]
    if name not in names:
        reason = "is not one of pyiqa's"
        if name in configs and mode == "NR":
            reason = "compares two images and cannot rate one"
        elif name in configs:
            reason = "rates one image and does not compare"
        raise WxrError(f"the metric '{name}' {reason}; {nearest(name, names)}")
    if name in read_data("metrics.yml")["not_of_one_image"]:
        raise WxrError(
            f"the metric '{name}' is not of a single image and cannot rate one; take musiq or "
            "another"
        )


def _create(name: str, weights: str | None, device: torch.device) -> torch.nn.Module:
    # pyiqa prints the names of loaded files.
    with (
        contextlib.redirect_stdout(io.StringIO()),
        clip_importable(),
        _bare_backbones(weights is not None),
    ):
        pyiqa = imported("pyiqa")
        options = {"pretrained_model_path": weights} if weights else {}
        return pyiqa.create_metric(name, device=device, **options)


def _create_from_other_form(
    name: str, weights: str, device: torch.device
) -> torch.nn.Module | None:
    """Try the weights with the state dict under "params" if it was bare, and bare otherwise.

    Depending on the metric, pyiqa reads one form or the other; it does not even read its own file
    of MANIQA as `pretrained_model_path`. None if the other form does not work either.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(*_ERRORS):
        state = torch.load(weights, map_location="cpu", weights_only=True)
        file = Path(folder) / Path(weights).name
        torch.save(state.get("params", {"params": state}), file)
        return _create(name, str(file), device)
    return None


@contextlib.contextmanager
def clip_importable() -> Iterator[None]:
    """Make OpenAI's `clip`, which CLIP-IQA and LIQE need, importable with a current setuptools.

    It imports `packaging` from pkg_resources, which no longer has it (github.com/openai/CLIP, issue
    446).
    """
    if "clip" in sys.modules or not importlib.util.find_spec("clip"):
        yield
        return
    import packaging.version

    stand_in = types.ModuleType("pkg_resources")
    stand_in.packaging = packaging
    before = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = stand_in
    try:
        importlib.import_module("clip")
    finally:
        if before is None:
            del sys.modules["pkg_resources"]
        else:
            sys.modules["pkg_resources"] = before
    yield


@contextlib.contextmanager
def _bare_backbones(active: bool) -> Iterator[None]:
    """Keep timm and torchvision from downloading a backbone whose weights will be overwritten."""
    if not active:
        yield
        return
    import timm
    import torchvision

    def create(*args: Any, make: Any = timm.create_model, **settings: Any) -> Any:
        settings["pretrained"] = False
        return make(*args, **settings)

    with contextlib.ExitStack() as stack:
        stack.enter_context(patched(timm, "create_model", create))
        for backbone in TORCHVISION:
            bare = partial(_bare, getattr(torchvision.models, backbone))
            stack.enter_context(patched(torchvision.models, backbone, bare))
        yield


def _bare(make: Callable[..., torch.nn.Module], *_: Any, **__: Any) -> torch.nn.Module:
    """Return a network of torchvision without weights, regardless of the arguments."""
    return make(weights=None)


def _refuse_code(name: str, weights: str) -> None:
    """Raise WxrError for a pickle with more than tensors and plain types, as pyiqa would run it."""
    if Path(weights).suffix == ".mat":
        return
    try:
        torch.load(weights, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WxrError(
            f"cannot make the metric '{name}' with the weights {weights}: the file holds more than "
            "plain weights, and loading it could run a program; take the file that pyiqa publishes"
        ) from error


def _check_complete(name: str, weights: str, net: torch.nn.Module) -> None:
    """Raise WxrError for a file that leaves a part of the network at its random initial values."""
    if Path(weights).suffix == ".mat":
        return
    state = torch.load(weights, map_location="cpu", weights_only=True)
    state = state.get("params", state) if isinstance(state, dict) else {}
    keys = {str(key).removeprefix("module.") for key in state}
    missing = [key for key, _ in net.named_parameters() if key not in keys]
    if keys and missing:
        raise WxrError(
            f"{weights} lacks {len(missing)} of {name}'s weights ({missing[0]}, …); give a file "
            "with the whole network"
        )


def failure_message(name: str, weights: str | None, error: Exception) -> str:
    """Return why the metric `name` cannot be created, and where to put a missing file."""
    reason = first_line(error)
    if weights and "pretrained_model_path" in reason:
        return (
            f"pyiqa's '{name}' takes no file of weights; leave `weights` out and put its files "
            "where pyiqa keeps them"
        )
    if advice := _advice_on_missing_file(error):
        return f"pyiqa cannot fetch a file of '{name}' here ({reason}): {advice}"
    source = f" with the weights {weights}" if weights else ""
    return f"pyiqa cannot make the metric '{name}'{source}: {reason}"


def _advice_on_missing_file(error: BaseException | None) -> str:
    """Return where to put the file that was being fetched when `error` was raised, if any."""
    while error is not None:
        # The error does not name the file, but local variables of the downloading function do.
        for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
            if advice := _advice_of_frame(frame.f_locals):
                return advice
        error = error.__cause__ or error.__context__
    return ""


def _advice_of_frame(variables: dict[str, Any]) -> str:
    # torch.hub and OpenAI's clip
    for key in ("cached_file", "download_target"):
        if isinstance(variables.get(key), str):
            path = Path(variables[key])
            url = variables.get("url")
            option = ", or give it as `weights`" if path.parent.name == "pyiqa" else ""
            return f"put {path.name} of {url} at {path}{option}"
    # huggingface_hub
    repo, filename = variables.get("repo_id"), variables.get("filename")
    if isinstance(repo, str):
        file = f"{filename} of " if isinstance(filename, str) else ""
        return (
            f"fetch {file}the hub's {repo} elsewhere (`hf download {repo}`) and copy its cache "
            "(HF_HOME)"
        )
    return ""
