"""Raters, describers and rewriters by the `type` of their option blocks; a plug-in may register its own."""

from typing import Any

import msgspec
from basicsr.utils.registry import Registry

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import Block, convert
from wxr_plugin.vlm.catalog import nearest

RATER_REGISTRY = Registry("rater")
"""Classes that rate images: `Options`, `rate` and `provenance` (see `rater.Rater`)."""
DESCRIBER_REGISTRY = Registry("describer")
"""Classes that describe images: `Options`, `describe` and `provenance` (see `describer.Describer`)."""
REWRITER_REGISTRY = Registry("rewriter")
"""Classes that rewrite descriptions: `Options`, `rewrite` and `provenance` (see `rewriter.Rewriter`)."""

REGISTRIES = {
    "rater": RATER_REGISTRY,
    "describer": DESCRIBER_REGISTRY,
    "rewriter": REWRITER_REGISTRY,
}
DEFAULT_TYPES = {
    "rater": "TransformersRater",
    "describer": "TransformersDescriber",
    "rewriter": "RuleRewriter",
}
"""What a block without a `type` means."""
COST = frozenset({"device", "batch_size", "concurrency", "timeout", "retries"})
"""Options that say how fast an answer comes, not what it is."""


def build(kind: str, opt: dict[str, Any] | None) -> Any:
    """The rater, describer or rewriter (`kind`) that a block of options describes.

    Raises:
        WxrError: an unknown type or key, or what the class itself refuses.
    """
    registered, options = chosen(kind, opt)
    return registered(options)


def chosen(kind: str, opt: dict[str, Any] | None) -> tuple[type, Block]:
    """The class that `build` would make, and its options; nothing is loaded. Raises as `build`."""
    opt = {"type": DEFAULT_TYPES[kind], **(opt or {})}
    registry = REGISTRIES[kind]
    if opt["type"] not in registry:
        raise WxrError(
            f"unknown {kind} type '{opt['type']}'; {nearest(str(opt['type']), registry.keys())}"
        )
    registered = registry.get(opt["type"])
    return registered, read_options(opt, registered.Options)


def same_answers(kind: str, one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether two blocks describe the same rater, describer or rewriter, be it on another device or in other batches.

    Nothing is loaded, so the same model under two names counts as two. Raises as `build`.
    """
    return _what_counts(*chosen(kind, one)) == _what_counts(*chosen(kind, other))


def same_model(kind: str, one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Return whether two blocks name the same model, be it with another question.

    Raises as `build`.

    A model is what a class has under `model`; two blocks of a class without that option are never
    called alike.
    """
    (first, options), (second, others) = chosen(kind, one), chosen(kind, other)
    model = getattr(options, "model", None)
    return first is second and model is not None and model == getattr(others, "model", None)


def _what_counts(registered: type, options: Block) -> tuple[type, dict[str, Any]]:
    return registered, {
        key: value for key, value in msgspec.to_builtins(options).items() if key not in COST
    }


def read_options(opt: dict[str, Any], kind: type[Block]) -> Any:
    """`opt` as the struct `kind`, or a WxrError that names the offending key."""
    try:
        return convert(opt, kind)
    except msgspec.ValidationError as error:
        raise WxrError(
            f"{opt['type']}: {error}; keys: {', '.join(kind.__struct_fields__)}"
        ) from error
