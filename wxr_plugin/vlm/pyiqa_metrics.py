"""Loading a metric of pyiqa, with its weights from a file where one is given, and saying which file is missing."""

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
from wxr_plugin.utils.patching import patched
from wxr_plugin.vlm.catalog import nearest, read_data

TORCHVISION = ("alexnet", "vgg16", "squeezenet1_1")
"""Networks of torchvision that LPIPS and its like build on."""

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
    """The metric `name`, loaded once a process; called with float RGB (N, 3, H, W) in [0, 1], two if it compares.

    `weights` is a file for pyiqa's `pretrained_model_path`, with every weight of the network in it:
    backbones of timm and torchvision are not downloaded then. None means pyiqa's own files, which
    it keeps in torch's hub folder.

    Raises:
        WxrError: a file that is missing and how to give it, or weights that do not fit.
    """
    if weights is not None and not Path(weights).is_file():
        raise WxrError(
            f"weights of the metric '{name}': {weights} does not exist; correct the path"
        )
    if weights is not None:
        _refuse_code(name, weights)
    try:
        metric = _made(name, weights, device)
    except _ERRORS as error:
        metric = _made_from_other_form(name, weights, device) if weights is not None else None
        if metric is None:
            raise WxrError(why_not(name, weights, error)) from error
    if weights is not None:
        _check_complete(name, weights, metric.net)
    return metric.eval().requires_grad_(False)


def check_name(name: str, mode: Literal["NR", "FR"] = "NR") -> None:
    """WxrError if pyiqa has no metric `name`, or one that takes more or fewer images than `mode`: NR one, FR two."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    known = [key for key, config in DEFAULT_CONFIGS.items() if config["metric_mode"] == mode]
    if name not in known:
        other = (
            "compares two images and cannot rate one"
            if mode == "NR"
            else "rates one image and does not compare"
        )
        why = other if name in DEFAULT_CONFIGS else "is not one of pyiqa's"
        raise WxrError(f"the metric '{name}' {why}; {nearest(name, known)}")
    if name in read_data("metrics.yml")["not_of_one_image"]:
        raise WxrError(
            f"the metric '{name}' is not of a single image and cannot rate one; take musiq or "
            f"another"
        )


def _made(name: str, weights: str | None, device: torch.device) -> torch.nn.Module:
    with (
        contextlib.redirect_stdout(io.StringIO()),
        clip_importable(),
        _bare_backbones(weights is not None),
    ):
        import pyiqa

        given = {"pretrained_model_path": weights} if weights else {}
        return pyiqa.create_metric(name, device=device, **given)


def _made_from_other_form(name: str, weights: str, device: torch.device) -> torch.nn.Module | None:
    """With the state dict under "params" if it was bare, or bare; None if that does not work either.

    pyiqa reads some metrics' files in one form and some in the other, and MANIQA's own in the form
    that it does not read as `pretrained_model_path`.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(*_ERRORS):
        found = torch.load(weights, map_location="cpu", weights_only=True)
        file = Path(folder) / Path(weights).name
        torch.save(found.get("params", {"params": found}), file)
        return _made(name, str(file), device)
    return None


@contextlib.contextmanager
def clip_importable() -> Iterator[None]:
    """Lets OpenAI's `clip`, on which CLIP-IQA and LIQE lean, be imported beside a current setuptools.

    It takes `packaging` from pkg_resources, which has it no more (github.com/openai/CLIP, issue
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
def _bare_backbones(yes: bool) -> Iterator[None]:
    """Keeps timm and torchvision from downloading the backbone that a metric's own file is about to overwrite."""
    if not yes:
        yield
        return
    import timm
    import torchvision

    def create(*args: Any, make: Any = timm.create_model, **settings: Any) -> Any:
        return make(*args, **{**settings, "pretrained": False})

    with contextlib.ExitStack() as stack:
        stack.enter_context(patched(timm, "create_model", create))
        for backbone in TORCHVISION:
            bare = partial(_bare, getattr(torchvision.models, backbone))
            stack.enter_context(patched(torchvision.models, backbone, bare))
        yield


def _bare(make: Callable[..., torch.nn.Module], *_: Any, **__: Any) -> torch.nn.Module:
    """A network of torchvision without weights, whatever its caller asks for."""
    return make(weights=None)


def _refuse_code(name: str, weights: str) -> None:
    """WxrError for a pickle that holds more than tensors and plain types: pyiqa would run whatever is in it."""
    try:
        if Path(weights).suffix != ".mat":
            torch.load(weights, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WxrError(
            f"cannot make the metric '{name}' with the weights {weights}: it is no file of plain "
            f"weights, and loading "
            "it could run a program; take the file that pyiqa publishes"
        ) from error


def _check_complete(name: str, weights: str, net: torch.nn.Module) -> None:
    """Refuse a file that leaves a part of the network as it was drawn."""
    if Path(weights).suffix == ".mat":
        return
    found = torch.load(weights, map_location="cpu", weights_only=True)
    found = found.get("params", found) if isinstance(found, dict) else {}
    keys = {str(key).removeprefix("module.") for key in found}
    missing = [key for key, _ in net.named_parameters() if key not in keys]
    if keys and missing:
        raise WxrError(
            f"{weights} lacks {len(missing)} of {name}'s weights ({missing[0]}, …); give the whole "
            f"network's"
        )


def why_not(name: str, weights: str | None, error: Exception) -> str:
    """Why the metric `name` cannot be made, in one line: which file is missing and where it belongs, if that is it."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if weights and "pretrained_model_path" in reason:
        return f"pyiqa's '{name}' takes no file of weights; leave `weights` out and put its files where pyiqa keeps them"
    if wanted := _wanted(error):
        return f"pyiqa cannot fetch a file of '{name}' here ({reason}): {wanted}"
    given = f" with the weights {weights}" if weights else ""
    return f"pyiqa cannot make the metric '{name}'{given}: {reason}"


def _wanted(error: BaseException | None) -> str:
    """How to give the file that was being fetched when `error` came up; from the frames, as the error does not say."""
    while error is not None:
        for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
            names = frame.f_locals
            for key in ("cached_file", "download_target"):
                if isinstance(names.get(key), str):
                    path, url = Path(names[key]), names.get("url")
                    own = ", or give it as `weights`" if path.parent.name == "pyiqa" else ""
                    return f"put {path.name} of {url} at {path}{own}"
            if isinstance(names.get("repo_id"), str):
                file = f"{names['filename']} of " if isinstance(names.get("filename"), str) else ""
                repo = names["repo_id"]
                return f"fetch {file}the hub's {repo} elsewhere (`hf download {repo}`) and copy its cache (HF_HOME)"
        error = error.__cause__ or error.__context__
    return ""
