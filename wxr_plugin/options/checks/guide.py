"""Check that the context of network_g and the guide that computes it belong together.

Nothing is built: the inputs of a network come from its signature, and of a guide's file only the
shapes are read.
"""

import inspect
from collections.abc import Callable
from typing import Any

from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.hub import cached_file
from wxr_plugin.options.checks.components import class_of, model_class, package_of
from wxr_plugin.options.checks.fields import parameters_of, takes_any
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.unread import class_source, mentions
from wxr_plugin.options.nested import OptionMap, block
from wxr_plugin.utils.namesakes import is_ours

PACKAGES = ("basicsr", "wxr_plugin")
"""Packages whose networks take no context unless they declare one."""


def check_guide(report: Report, opt: OptionMap) -> None:
    """Check `guide` against the training set and against the inputs of network_g, if known."""
    if report.is_train:
        _check_view(report, opt)
    embeddings = _embeddings(report, opt)
    if embeddings is None or not _reaches(report, opt, embeddings):
        return

    try:
        check_context_has_guide(embeddings, opt.get("guide"), str(block(opt, "network_g")["type"]))
    except OptionError as error:
        report.add("guide", str(error).removeprefix("guide: "))
        return
    name = block(opt, "guide").get("model")
    if embeddings and isinstance(name, str):
        # "image" is the embedding of a plain CLIP; the others are those of a DA-CLIP.
        _check_width(report, opt, name, clip_width if "image" in embeddings else guide_width)


def _embeddings(report: Report, opt: OptionMap) -> tuple[str, ...] | None:
    """Return the embeddings that network_g takes; None if its class does not declare them."""
    from wxr_plugin.archs.context import NAMES, checked_inputs, context_inputs

    network = block(opt, "network_g")
    cls = class_of("network", network)
    if cls is None:
        return None
    is_known = package_of(cls) in PACKAGES
    parameter = (parameters_of(cls) or {}).get("context")
    if parameter is None and (is_known or knows_no_context(cls)):
        return _without_context(report, network, cls)
    if parameter is None:
        return context_inputs(cls) or None
    context = network.get("context", parameter.default)
    try:
        return checked_inputs(context, getattr(cls, "context_names", NAMES))
    except (TypeError, ValueError) as error:
        # Another project's `context` may be something else.
        if is_known:
            report.add("network_g.context", str(error))
        return None


def knows_no_context(cls: Any) -> bool:
    """Return whether the source of another project's network does not mention a context."""
    if not inspect.isclass(cls) or any(map(is_ours, cls.__mro__)):
        return False
    source = class_source(cls)
    words = ("context", "context_inputs", "context_names")
    return not any(mentions(source, word) for word in words)


def _without_context(report: Report, network: OptionMap, cls: Any) -> tuple[str, ...] | None:
    """Return the embeddings of a network whose constructor has no argument `context`.

    If its `**kwargs` would swallow one, that is reported, and None is returned.
    """
    from wxr_plugin.archs.context import context_inputs

    # Without **kwargs it is an unknown key, which the check of blocks reports.
    if "context" not in network or not takes_any(cls):
        return context_inputs(cls)
    name = network["type"]
    fault = f"{name} takes no context: its constructor accepts any argument and does not read it"
    fix = "take it and the guide out, or use a network of docs/context.md"
    report.add("network_g.context", fault, fix)
    return None


def _reaches(report: Report, opt: OptionMap, embeddings: tuple[str, ...]) -> bool:
    """Return whether the model passes embeddings to the network; BasicSR's own do not."""
    model = model_class(opt)
    if hasattr(model, "load_guide"):
        return True
    if embeddings and package_of(model) == "basicsr":
        context = " and ".join(embeddings)
        fault = f"network_g takes a context of {context}, which {opt['model_type']} does not pass"
        fix = "use WxrModel or a model derived from it, or take network_g.context out"
        report.add("model_type", fault, fix)
    return False


def _check_view(report: Report, opt: OptionMap) -> None:
    """Check that the dataset yields whole photos exactly if the guide needs them."""
    needs_photos = block(opt, "guide").get("view") == "photo"
    size = block(opt, "datasets", "train").get("guide_size")
    if needs_photos and not size:
        fault = "the guide needs whole photos, and there is no datasets.train.guide_size"
        fix = "set it to 224 (DegradationDataset), or take view out"
        report.add("guide.view", fault, fix)
    if size and not needs_photos:
        fault = f"yields whole photos of side {size}, but no guide uses them (no guide.view: photo)"
        fix = "set guide: {view: photo}, or take guide_size out"
        report.add("datasets.train.guide_size", fault, fix)


def _check_width(
    report: Report,
    opt: OptionMap,
    name: str,
    width_of: Callable[[str], int | None],
) -> None:
    """Check that the guide called `name` gives embeddings of the length that network_g takes."""
    try:
        width = width_of(name)
    except WxrError as error:
        report.add("guide.model", str(error))
        return
    network = block(opt, "network_g")
    parameters = parameters_of(class_of("network", network)) or {}
    default = parameters["context_dim"].default if "context_dim" in parameters else None
    expected = network.get("context_dim", default)
    if isinstance(expected, int) and width and expected != width:
        fault = (
            f"network_g takes embeddings of length {expected}, and guide.model {name} gives {width}"
        )
        fix = f"set context_dim: {width}, or take another guide"
        report.add("network_g.context_dim", fault, fix)


def clip_width(name: str) -> int | None:
    """Return the length of the embeddings of the CLIP `name`, from its configuration.

    None if the configuration is not on this machine (hf-hub).

    Raises:
        WxrError: there is no CLIP of this name.
    """
    from wxr_plugin.conditioning.clip import clip_config

    config = clip_config(name)
    return config["embed_dim"] if config else None


def guide_width(name: str) -> int | None:
    """Return the length of the embeddings of the DA-CLIP `name` (a checkpoint or tiny).

    Only shapes are read. None for a reference to the hub that is not cached.

    Raises:
        WxrError: the file is missing, cannot be read, or holds no DA-CLIP.
    """
    from wxr_plugin.checkpoints.containers import load_weights
    from wxr_plugin.conditioning.daclip import TINY
    from wxr_plugin.conditioning.daclip_checkpoint import CONTROLLER

    path = TINY if name == "tiny" else cached_file(name)
    if path is None:
        return None
    if not path.is_file():
        raise WxrError(f"{path} does not exist; name the file of a DA-CLIP (docs/daclip.md)")
    weights = load_weights(path, mapped=True)
    # Projection of a ViT (width, embedding) and of a ResNet (embedding, width).
    axes = {f"{CONTROLLER}proj": 1, f"{CONTROLLER}attnpool.c_proj.weight": 0}
    for key, axis in axes.items():
        if key in weights:
            return weights[key].shape[axis]
    reason = f"no {CONTROLLER}* with a projection among its {len(weights)} tensors"
    raise WxrError(
        f"{path} holds no DA-CLIP ({reason}); take daclip_ViT-B-32.pt or another file of "
        "docs/daclip.md"
    )


def check_context_has_guide(embeddings: tuple[str, ...], guide: Any, network: str) -> None:
    """Raise OptionError unless there is a `guide` block exactly if `network` takes `embeddings`."""
    if embeddings and not guide:
        raise OptionError(
            f"network_g ({network}) takes a context of {' and '.join(embeddings)}, and no guide "
            "computes it: add guide: {model: ...} to the file, or take network_g.context out"
        )
    if guide and not embeddings:
        raise OptionError(
            f"guide: network_g ({network}) takes no context: set network_g.context, or take the "
            "guide out"
        )
