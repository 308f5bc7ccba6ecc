"""A server that speaks the OpenAI chat API (vLLM, SGLang, LMDeploy, `transformers serve`, …), over HTTP."""

import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from msgspec import Meta

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import AtLeastOne, Block, NotNegative
from wxr_plugin.vlm.server_errors import is_its_own_fault, is_tried_again, mend, what

Item = TypeVar("Item")
T = TypeVar("T")
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
    """What stands for the server in stored labels; its URL when absent.

    Give one, say "vicuna 7b, 8 bits", when the
    same model moves from address to address."""
    api_key_env: str | None = None
    """Environment variable that holds the key; no key is sent when absent."""
    concurrency: AtLeastOne = 8
    """Requests at a time."""
    timeout: Annotated[float, Meta(gt=0)] = 60
    """Seconds that a request may take, from the connection to the last byte of the answer."""
    retries: NotNegative = 4
    """Times that a request is sent again after a lost connection, a time-out or an overload, waiting 0.5 s to 8 s."""
    extra_body: dict[str, Any] = {}
    """Keys of the request beyond the common ones, such as {chat_template_kwargs: {enable_thinking: false}}."""


class ChatServer:
    """Asks a server questions, several at a time, from any thread: each call has an event loop in a thread of its own.

    An event loop, since only there can a request be stopped at its deadline wherever it waits.
    """

    def __init__(self, options: ServerOptions):
        self.options, self.url = options, _address(options.url)
        self.key = _key(options.api_key_env)

    def first(self, content: Content, **request: Any) -> Any:
        """Return the server's `choice` for one message, asked to learn whether it works at all.

        Raises:
            WxrError: it does not, after all retries.
        """
        (answer,) = _in_a_loop(self._answers, [content], lambda content: content, request)
        if isinstance(answer, Exception):
            raise self._error(answer) from answer
        if answer is None:
            raise WxrError(f"{self.url} answers, but not as a chat server does; correct `url`")
        return answer

    def ask(
        self, items: Sequence[Item], content: Callable[[Item], Content], **request: Any
    ) -> list[Any | None]:
        """Return one `choice` for the message `content(item)` of each item; None where there is none to be had.

        Raises:
            WxrError: the server is gone: no request got through, or some did not and it does not
                answer any more.
        """
        answers = _in_a_loop(self._answers, items, content, request)
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
        return {
            "server": own.identity or self.url,
            "model": own.model,
            "system": own.system,
            **extra,
        }

    async def _answers(
        self, items: Sequence[Item], content: Callable[[Item], Content], request: dict
    ) -> list[Any]:
        """Ask about every item, `concurrency` of them at a time."""
        import anyio

        answers: list[Any] = [None] * len(items)
        limiter = anyio.CapacityLimiter(self.options.concurrency)

        async def ask(number: int, client: Any) -> None:
            async with limiter:
                message = await anyio.to_thread.run_sync(content, items[number])  # encodes an image
                answers[number] = await self._try(message, request, client)

        async with self._client() as client, anyio.create_task_group() as group:
            for number in range(len(items)):
                group.start_soon(ask, number, client)
        return answers

    def _client(self, **settings: Any) -> Any:
        from openai import AsyncOpenAI

        from wxr_plugin.vlm.server_http import GuardedClient

        settings = {"timeout": self.options.timeout, "max_retries": self.options.retries} | settings
        return AsyncOpenAI(
            base_url=self.url,
            api_key=self.key,
            http_client=GuardedClient(verify=_certificates()),
            **settings,
        )

    async def _try(self, content: Content, request: dict[str, Any], client: Any) -> Any:
        from openai import OpenAIError

        messages = (
            [{"role": "system", "content": self.options.system}] if self.options.system else []
        )
        messages.append({"role": "user", "content": content})
        about = {
            "model": self.options.model,
            "messages": messages,
            "extra_body": self.options.extra_body,
        }
        try:
            answer = await client.chat.completions.create(**about, **request)
        except OpenAIError as error:
            return error
        except (ValueError, RecursionError):  # what came back is not JSON, or nested too deeply
            return None
        choices = getattr(answer, "choices", None)
        return choices[0] if isinstance(choices, list) and choices else None

    def _is_there(self) -> bool:
        answer = _in_a_loop(self._hello)
        return not isinstance(answer, Exception) or is_its_own_fault(answer)

    async def _hello(self) -> Any:
        async with self._client(max_retries=0, timeout=min(self.options.timeout, 10)) as client:
            return await self._try("Hello", {"max_tokens": 1}, client)

    def _error(self, error: Exception) -> WxrError:
        tried = (
            f"tried {self.options.retries + 1} times"
            if is_tried_again(error)
            else "not tried again"
        )
        return WxrError(
            f"{self.url}: {what(error, self.options.timeout)}, {tried}; "
            f"{mend(error, self.options.model)}"
        )


def text_of(choice: Any) -> str:
    """What a `choice` says; empty where it says nothing."""
    content = getattr(getattr(choice, "message", None), "content", None)
    return content.strip() if isinstance(content, str) else ""


def _in_a_loop(function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Return what the coroutine function returns in a new event loop; an interrupt of this thread cancels it."""
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        return portal.call(function, *arguments)


@cache
def _certificates() -> ssl.SSLContext:
    """Return what https is verified with; loading it takes longer than a request on the same machine."""
    return ssl.create_default_context()


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise WxrError(
            f"'{url}' is no address of a server; write one such as http://localhost:8000/v1"
        )
    return url.rstrip("/") if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1"


def _key(variable: str | None) -> str:
    if variable is None:
        return "none"
    if not os.environ.get(variable):
        raise WxrError(
            f"api_key_env: the environment variable {variable} is not set; export the server's key "
            f"under it"
        )
    return os.environ[variable]
