"""A server that speaks the OpenAI chat API (vLLM, SGLang, LMDeploy, `transformers serve`, …), over HTTP."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from msgspec import Meta

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import AtLeastOne, Block, NotNegative
from wxr_plugin.vlm.server_errors import is_its_own_fault, mend, what

Item = TypeVar("Item")
Content = str | list[dict[str, Any]]
"""The content of a user's message, as the API has it."""


class ServerOptions(Block):
    """Options of everything that asks a server."""

    url: str
    """Address of the server, such as http://localhost:8000/v1; /v1 is added where there is no path."""
    model: str
    """Name under which the server serves the model."""
    system: str = ""
    """System message before the question; none when empty."""
    identity: str | None = None
    """What stands for the server in stored labels; its URL when absent. Give one, say "vicuna 7b, 8 bits", when the
    same model moves from address to address."""
    api_key_env: str | None = None
    """Environment variable that holds the key; no key is sent when absent."""
    concurrency: AtLeastOne = 8
    """Requests at a time."""
    timeout: Annotated[float, Meta(gt=0)] = 60
    """Seconds that a request may take."""
    retries: NotNegative = 4
    """Times that a request is sent again after a lost connection, a time-out or an overload, waiting 0.5 s to 8 s."""
    extra_body: dict[str, Any] = {}
    """Keys of the request beyond the common ones, such as {chat_template_kwargs: {enable_thinking: false}}."""


class ChatServer:
    """Asks a server questions, several at a time, from any thread: a call has threads of its own and no event loop."""

    def __init__(self, options: ServerOptions):
        from openai import OpenAI

        self.options, self.url = options, _address(options.url)
        retries = {"timeout": options.timeout, "max_retries": options.retries}
        self.client = OpenAI(base_url=self.url, api_key=_key(options.api_key_env), **retries)

    def first(self, content: Content, **request: Any) -> Any:
        """The server's `choice` for one message, asked to learn whether it works at all.

        Raises:
            WxrError: it does not, after all retries.
        """
        answer = self._try(content, request)
        if isinstance(answer, Exception):
            raise self._error(answer) from answer
        if answer is None:
            raise WxrError(f"{self.url} answers, but not as a chat server does; correct `url`")
        return answer

    def ask(self, items: Sequence[Item], content: Callable[[Item], Content], **request: Any) -> list[Any | None]:
        """One `choice` for the message `content(item)` of each item; None where there is none to be had.

        Raises:
            WxrError: the server is gone: no request got through, or some did not and it does not answer any more.
        """
        with ThreadPoolExecutor(self.options.concurrency) as threads:
            answers = list(threads.map(lambda item: self._try(content(item), request), items))
        failed = [answer for answer in answers if isinstance(answer, Exception)]
        gone = [error for error in failed if not is_its_own_fault(error)]
        if gone and (len(gone) == len(answers) or not self._is_there()):
            raise self._error(gone[-1]) from gone[-1]
        if failed:
            why = what(failed[-1], self.options.timeout)
            logging.getLogger("basicsr").warning(
                f"{self.url}: {len(failed)} of {len(answers)} requests have no answer ({why})"
            )
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    def provenance(self) -> dict[str, Any]:
        """What the server's answers depend on, in plain types."""
        own = self.options
        extra = {"extra_body": own.extra_body} if own.extra_body else {}
        return {"server": own.identity or self.url, "model": own.model, "system": own.system, **extra}

    def _try(self, content: Content, request: dict[str, Any], client: Any = None) -> Any:
        from openai import OpenAIError

        messages = [{"role": "system", "content": self.options.system}] if self.options.system else []
        messages.append({"role": "user", "content": content})
        create = (client or self.client).chat.completions.create
        try:
            answer = create(model=self.options.model, messages=messages, extra_body=self.options.extra_body, **request)
        except OpenAIError as error:
            return error
        except ValueError:  # what came back is not JSON
            return None
        choices = getattr(answer, "choices", None)
        return choices[0] if isinstance(choices, list) and choices else None

    def _is_there(self) -> bool:
        once = self.client.with_options(max_retries=0, timeout=min(self.options.timeout, 10))
        answer = self._try("Hello", {"max_tokens": 1}, once)
        return not isinstance(answer, Exception) or is_its_own_fault(answer)

    def _error(self, error: Exception) -> WxrError:
        tried = f"tried {self.options.retries + 1} times" if not is_its_own_fault(error) else "not tried again"
        return WxrError(f"{self.url}: {what(error, self.options.timeout)}, {tried}; {mend(error, self.options.model)}")


def text_of(choice: Any) -> str:
    """What a `choice` says; empty where it says nothing."""
    content = getattr(getattr(choice, "message", None), "content", None)
    return content.strip() if isinstance(content, str) else ""


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise WxrError(f"'{url}' is no address of a server; write one such as http://localhost:8000/v1")
    return url.rstrip("/") if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1"


def _key(variable: str | None) -> str:
    if variable is None:
        return "none"
    if not os.environ.get(variable):
        raise WxrError(f"api_key_env: the environment variable {variable} is not set; export the server's key under it")
    return os.environ[variable]
