"""Registries of raters, describers and rewriters, keyed by the `type` of their option blocks."""

from typing import Any

import msgspec
from basicsr.utils.registry import Registry

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import Block, convert
from wxr_plugin.utils.wording import nearest

RATER_REGISTRY = Registry("rater")
"""Raters: classes with `Options`, `rate` and `provenance` (see `rater.Rater`)."""
DESCRIBER_REGISTRY = Registry("describer")
"""Describers: classes with `Options`, `describe`, `provenance` (see `describer.Describer`)."""
REWRITER_REGISTRY = Registry("rewriter")
"""Rewriters: classes with `Options`, `rewrite` and `provenance` (see `rewriter.Rewriter`)."""

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
"""`type` of a block without one."""
COST = frozenset({"device", "batch_size", "concurrency", "timeout", "retries"})
"""Option keys of raters, describers and rewriters that change speed, but not answers.

Two blocks that differ in these keys only are the same model, and results stay valid.
"""


def build(kind: str, opt: dict[str, Any] | None) -> Any:
    """Return the rater, describer or rewriter (`kind`) of a block of options.

    Raises:
        WxrError: an unknown type or key, or options that the class refuses.
    """
    registered, options = chosen(kind, opt)
    return registered(options)


def chosen(kind: str, opt: dict[str, Any] | None) -> tuple[type, Block]:
    """Return the class and the options that `build` would use; nothing is loaded.

    Raises:
        WxrError: as for `build`.
    """
    opt = {"type": DEFAULT_TYPES[kind], **(opt or {})}
    name = opt["type"]
    registry = REGISTRIES[kind]
    if name not in registry:
        raise WxrError(f"unknown {kind} type '{name}'; {nearest(str(name), registry.keys())}")
    registered = registry.get(name)
    return registered, read_options(opt, registered.Options)


def same_answers(kind: str, first: dict[str, Any] | None, second: dict[str, Any] | None) -> bool:
    """Return whether two blocks give the same answers: they differ in keys of COST at most.

    Nothing is loaded, so that a model under two names counts as two models.

    Raises:
        WxrError: as for `build`.
    """
    return _answer_options(kind, first) == _answer_options(kind, second)


def same_model(kind: str, first: dict[str, Any] | None, second: dict[str, Any] | None) -> bool:
    """Return whether two blocks have the same class and `model`, regardless of the question.

    Two blocks of a class without the option `model` never have the same model.

    Raises:
        WxrError: as for `build`.
    """
    first_class, first_options = chosen(kind, first)
    second_class, second_options = chosen(kind, second)
    model = getattr(first_options, "model", None)
    if first_class is not second_class or model is None:
        return False
    return model == getattr(second_options, "model", None)


def _answer_options(kind: str, opt: dict[str, Any] | None) -> tuple[type, dict[str, Any]]:
    """Return the class of a block, and its options without those of COST."""
    registered, options = chosen(kind, opt)
    values = msgspec.to_builtins(options)
    return registered, {key: value for key, value in values.items() if key not in COST}


def read_options(opt: dict[str, Any], kind: type[Block]) -> Any:
    """Return `opt` as the struct `kind`; raise WxrError for a wrong key or value."""
    try:
        return convert(opt, kind)
    except msgspec.ValidationError as error:
        keys = ", ".join(kind.__struct_fields__)
        raise WxrError(f"{opt['type']}: {error}; keys: {keys}") from error
