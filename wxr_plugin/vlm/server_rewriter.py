"""Rewriting a description for clear weather by a language model behind an OpenAI-compatible server."""

from typing import Any, Literal

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.vlm.catalog import prompt_text
from wxr_plugin.vlm.registries import REWRITER_REGISTRY
from wxr_plugin.vlm.rewriter import finished, question
from wxr_plugin.vlm.server import ChatServer, ServerOptions, text_of


class ServerRewriterOptions(ServerOptions):
    """Options of a language model that rewrites descriptions on a server."""

    type: Literal["ServerRewriter"] = "ServerRewriter"
    """Class that rewrites."""
    prompt: str = "clear"
    """A rewrite prompt of vlm/prompts.yml, or a whole instruction; the description follows it."""
    max_tokens: AtLeastOne = 96
    """Longest rewritten description, in the model's tokens."""
    clean: bool = True
    """Let the rules take out the weather words that the model has left."""


@REWRITER_REGISTRY.register()
class ServerRewriter:
    """Rewrites descriptions with a model on a server, at temperature 0; asks it once when made, to learn if it works.

    With `clean`, the rules (`rule_rewriter.clear_weather`) finish an answer in which a weather word
    is left.
    """

    Options = ServerRewriterOptions

    def __init__(self, options: ServerRewriterOptions):
        self.prompt, self.clean = prompt_text("rewrite", options.prompt), options.clean
        self.server = ChatServer(options)
        self._request = {"max_tokens": options.max_tokens, "temperature": 0}
        self.server.first(self._content("A wet street."), **{**self._request, "max_tokens": 1})

    def rewrite(self, texts: list[str]) -> list[str | None]:
        """For each description one for clear weather; None where nothing usable came out.

        Raises:
            WxrError: the server is gone.
        """
        choices = self.server.ask(texts, self._content, **self._request)
        return [finished(text_of(choice), self.clean) for choice in choices]

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a rewrite depends on, in plain types."""
        own = {
            "type": type(self).__name__,
            "prompt": self.prompt,
            "max_tokens": self._request["max_tokens"],
        }
        return {**own, "clean": self.clean, **self.server.provenance()}

    def _content(self, text: str) -> str:
        return question(self.prompt, text)
