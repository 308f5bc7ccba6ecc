"""Rewriting a description (d_neg) as if the weather were clear (d_pos)."""

from typing import Any, Protocol

from wxr_plugin.vlm.registries import build


class Rewriter(Protocol):
    """What `build_rewriter` gives."""

    def rewrite(self, texts: list[str]) -> list[str | None]:
        """For each description one for clear weather; None where nothing usable came out.

        WxrError only if the rewriter as a whole does not work.
        """

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a rewrite depends on, in plain types."""


def build_rewriter(opt: dict[str, Any] | None = None) -> Rewriter:
    """The rewriter that a block of options describes; the rules, which need no model, without one.

    Raises:
        WxrError: an unknown type, key, model or prompt, or a model that cannot be loaded.
    """
    return build("rewriter", opt)
