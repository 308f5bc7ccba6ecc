"""network_g's context and the guide that makes it: is each there for the other, and do they fit?

Nothing is built: what a network takes is told from its signature, and of the guide's file only
shapes are read.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.options.checks.components import registered
from wxr_plugin.options.checks.fields import parameters_of, takes_any
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.rules import block
from wxr_plugin.options.checks.unread import class_source, mentions
from wxr_plugin.utils.namesakes import is_ours

HOUSES = ("basicsr", "wxr_plugin")
"""Packages whose networks and models are known to take no context where they do not say that they do."""


def check_guide(report: Report, opt: Mapping[str, Any]) -> None:
    """Check `guide` against network_g and against the training set; nothing where network_g's needs cannot be told."""
    if report.is_train:
        _check_view(report, opt)
    wanted = _wanted(report, opt)
    if wanted is None or not _reaches(report, opt, wanted):
        return

    try:
        check_wanted(wanted, opt.get("guide"), str(block(opt, "network_g")["type"]))
    except OptionError as error:
        report.add(("guide",), str(error).removeprefix("guide: "))
        return
    name = block(opt, "guide").get("model")
    if wanted and isinstance(name, str):
        _check_width(report, opt, name, clip_width if "image" in wanted else guide_width)


def _wanted(report: Report, opt: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The embeddings that network_g takes; None where its class does not tell, or tells nonsense."""
    from wxr_plugin.archs.context import NAMES, checked_inputs, context_inputs

    network = block(opt, "network_g")
    item = registered("network").get(str(network.get("type")))
    if item is None:
        return None
    ours = item.__module__.split(".")[0] in HOUSES
    parameter = (parameters_of(item) or {}).get("context")
    if parameter is None and (ours or knows_no_context(item)):
        return _without_context(report, network, item)
    if parameter is None:
        return context_inputs(item) or None
    try:
        return checked_inputs(
            network.get("context", parameter.default), getattr(item, "context_names", NAMES)
        )
    except (TypeError, ValueError) as error:
        if ours:
            report.add(("network_g", "context"), str(error))
        return None


def knows_no_context(item: Any) -> bool:
    """Return whether nothing in the source of another project's network speaks of a context."""
    if not inspect.isclass(item) or any(map(is_ours, item.__mro__)):
        return False
    source = class_source(item)
    return not any(
        mentions(source, word) for word in ("context", "context_inputs", "context_names")
    )


def _without_context(
    report: Report, network: Mapping[str, Any], item: Any
) -> tuple[str, ...] | None:
    """Return the embeddings of a network without an argument `context`; report a context that it would swallow."""
    from wxr_plugin.archs.context import context_inputs

    if "context" not in network or not takes_any(
        item
    ):  # without **kwargs it is an unknown key, which is reported
        return context_inputs(item)
    what = f"{network['type']} takes no context: its constructor accepts any argument and reads no such one"
    report.add(
        ("network_g", "context"),
        what,
        "take it and the guide out, or use a network of docs/context.md",
    )
    return None


def _reaches(report: Report, opt: Mapping[str, Any], wanted: tuple[str, ...]) -> bool:
    """Whether the model hands embeddings over. BasicSR's own do not."""
    model = registered("model").get(str(opt.get("model_type")))
    if hasattr(model, "load_guide"):
        return True
    if wanted and getattr(model, "__module__", "").startswith("basicsr."):
        what = f"network_g takes a context of {' and '.join(wanted)}, which {opt['model_type']} does not hand over"
        report.add(
            ("model_type",),
            what,
            "use WxrModel or one that derives from it, or take network_g.context out",
        )
    return False


def _check_view(report: Report, opt: Mapping[str, Any]) -> None:
    is_photo = block(opt, "guide").get("view") == "photo"
    size = block(opt, "datasets", "train").get("guide_size")
    if is_photo and not size:
        what = "the guide is to see whole photos, which the training set does not give (no datasets.train.guide_size)"
        report.add(
            ("guide", "view"),
            what,
            "set guide_size: 224 there (DegradationDataset), or take view out",
        )
    if size and not is_photo:
        what = (
            f"whole photos of side {size} are made, but no guide sees them (no guide.view: photo)"
        )
        report.add(
            ("datasets", "train", "guide_size"),
            what,
            "set guide: {view: photo}, or take guide_size out",
        )


def _check_width(
    report: Report, opt: Mapping[str, Any], name: str, width_of: Callable[[str], int | None]
) -> None:
    try:
        width = width_of(name)
    except WxrError as error:
        report.add(("guide", "model"), str(error))
        return
    network = block(opt, "network_g")
    parameter = (parameters_of(registered("network")[network["type"]]) or {}).get("context_dim")
    taken = network.get("context_dim", parameter.default if parameter else inspect.Parameter.empty)
    if isinstance(taken, int) and width and taken != width:
        what = f"network_g takes embeddings of length {taken}, and guide.model {name} gives {width}"
        report.add(
            ("network_g", "context_dim"), what, f"set context_dim: {width}, or take another guide"
        )


def clip_width(name: str) -> int | None:
    """Length of the embeddings of the CLIP `name`, told from its configuration; None where that is not here (hf-hub).

    Raises WxrError for a name that nothing has.
    """
    from wxr_plugin.conditioning.clip import clip_config

    config = clip_config(name)
    return config["embed_dim"] if config else None


def guide_width(name: str) -> int:
    """Length of the embeddings of the DA-CLIP `name`, a checkpoint's file or tiny, told from shapes alone.

    Raises:
        WxrError: there is no such file, it cannot be read, or it holds no DA-CLIP.
    """
    from wxr_plugin.checkpoints.containers import load_weights
    from wxr_plugin.conditioning.daclip import TINY
    from wxr_plugin.conditioning.daclip_checkpoint import CONTROLLER

    path = TINY if name == "tiny" else Path(name).expanduser()
    if not path.is_file():
        raise WxrError(f"{path} does not exist; name a DA-CLIP's file (docs/daclip.md)")
    weights = load_weights(path, mapped=True)
    heads = {
        f"{CONTROLLER}proj": 1,
        f"{CONTROLLER}attnpool.c_proj.weight": 0,
    }  # of a ViT, of a ResNet
    found = [weights[key].shape[axis] for key, axis in heads.items() if key in weights]
    if not found:
        what = f"no {CONTROLLER}* with a projection among its {len(weights)} tensors"
        raise WxrError(
            f"{path} holds no DA-CLIP ({what}); take daclip_ViT-B-32.pt or the like "
            f"(docs/daclip.md)"
        )
    return found[0]


def check_wanted(wanted: tuple[str, ...], block: Any, network: str) -> None:
    """Raise OptionError unless a `network` that takes the embeddings `wanted` has a guide's block, and no other has."""
    if wanted and not block:
        raise OptionError(
            f"network_g ({network}) takes a context of {' and '.join(wanted)}, and no guide makes "
            f"it: add "
            "guide: {model: ...} to the file, or take network_g.context out"
        )
    if block and not wanted:
        raise OptionError(
            f"guide: network_g ({network}) takes no context: set network_g.context, or take the "
            f"guide out"
        )
