"""Rewriter that uses a language model on an OpenAI-compatible server."""

from typing import Any, Literal

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.vlm.catalog import prompt_text
from wxr_plugin.vlm.registries import REWRITER_REGISTRY
from wxr_plugin.vlm.rewriter import finished, question
from wxr_plugin.vlm.server import ChatServer, ServerOptions, text_of


class ServerRewriterOptions(ServerOptions):
    """Options of a rewriter that uses a server."""

    type: Literal["ServerRewriter"] = "ServerRewriter"
    """Class of the rewriter."""
    prompt: str = "clear"
    """A rewrite prompt of vlm/prompts.yml, or an instruction; the description follows it."""
    max_tokens: AtLeastOne = 96
    """Longest rewritten description, in the model's tokens."""
    clean: bool = True
    """Remove weather words that are left in an answer by the rules of RuleRewriter."""


@REWRITER_REGISTRY.register()
class ServerRewriter:
    """Rewriter that uses a model on a server, at temperature 0.

    The constructor sends a request to check that the server works. With `clean`, an answer that
    still has weather words is rewritten by the rules (`rule_rewriter.clear_weather`).
    """

    Options = ServerRewriterOptions

    def __init__(self, options: ServerRewriterOptions):
        self.prompt, self.clean = prompt_text("rewrite", options.prompt), options.clean
        self.server = ChatServer(options)
        self._request = {"max_tokens": options.max_tokens, "temperature": 0}
        self.server.first(self._content("A wet street."), **self._request | {"max_tokens": 1})

    def rewrite(self, texts: list[str]) -> list[str | None]:
        """Return a description for clear weather for each text; None if there is no usable one.

        Raises:
            WxrError: the server is unreachable.
        """
        choices = self.server.ask(texts, self._content, **self._request)
        return [finished(text_of(choice), self.clean) for choice in choices]

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a rewrite depends on, in plain types."""
        return {
            "type": type(self).__name__,
            "prompt": self.prompt,
            "max_tokens": self._request["max_tokens"],
            "clean": self.clean,
            **self.server.provenance(),
        }

    def _content(self, text: str) -> str:
        return question(self.prompt, text)
