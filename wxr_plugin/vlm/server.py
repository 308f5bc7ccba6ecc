"""Client of servers with the OpenAI chat API (vLLM, SGLang, LMDeploy, `transformers serve`)."""

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
from wxr_plugin.utils.extras import imported
from wxr_plugin.vlm.server_errors import advice, is_bad_request, is_retried, reason

Item = TypeVar("Item")
T = TypeVar("T")
Content = str | list[dict[str, Any]]
"""Content of a user's message in the API."""


class ServerOptions(Block):
    """Options of raters, describers and rewriters that use a server."""

    url: str
    """Address of the server, such as http://localhost:8000/v1; /v1 is added if there is no path."""
    model: str
    """Name under which the server serves the model."""
    system: str = ""
    """System message before the question; none when empty."""
    identity: str | None = None
    """Name of the server in stored labels; by default its URL.

    Set it, for example to "vicuna 7b, 8 bits", if the same model is served from changing addresses.
    """
    api_key_env: str | None = None
    """Environment variable with the key; by default no key is sent."""
    concurrency: AtLeastOne = 8
    """Number of simultaneous requests."""
    timeout: Annotated[float, Meta(gt=0)] = 60
    """Time limit of a request in seconds, from the connection to the last byte of the answer."""
    retries: NotNegative = 4
    """Number of retries after a lost connection, a time-out or an overload.

    The wait before a retry is 0.5 s to 8 s.
    """
    extra_body: dict[str, Any] = {}
    """Further keys of a request, such as {chat_template_kwargs: {enable_thinking: false}}."""


class ChatServer:
    """Client that sends several requests at a time; it can be used from any thread.

    Each call has an event loop in its own thread, since only an event loop can stop a request at
    its deadline in any state.
    """

    def __init__(self, options: ServerOptions):
        imported("openai")
        self.options = options
        self.url = _address(options.url)
        self.key = _key(options.api_key_env)

    def first(self, content: Content, **request: Any) -> Any:
        """Return the server's `choice` for a message, sent to check that the server works.

        Raises:
            WxrError: the server does not work, after all retries.
        """
        (answer,) = _in_event_loop(self._answers, [content], lambda content: content, request)
        if isinstance(answer, Exception):
            raise self._error(answer) from answer
        if answer is None:
            raise WxrError(f"{self.url} answers, but not as a chat server; correct `url`")
        return answer

    def ask(
        self, items: Sequence[Item], content: Callable[[Item], Content], **request: Any
    ) -> list[Any | None]:
        """Return a `choice` for the message `content(item)` of each item; None where it failed.

        Raises:
            WxrError: the server is unreachable: all requests failed, or some failed and it does not
                answer now.
        """
        answers = _in_event_loop(self._answers, items, content, request)
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        # A bad request says nothing about the server.
        serious = [error for error in errors if not is_bad_request(error)]
        if serious and (len(serious) == len(answers) or not self._is_reachable()):
            raise self._error(serious[-1]) from serious[-1]
        if errors:
            why = reason(errors[-1], self.options.timeout)
            logging.getLogger("basicsr").warning(
                f"{self.url}: {len(errors)} of {len(answers)} requests have no answer ({why})"
            )
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    def provenance(self) -> dict[str, Any]:
        """Return everything that the answers of the server depend on, in plain types."""
        options = self.options
        provenance = {
            "server": options.identity or self.url,
            "model": options.model,
            "system": options.system,
        }
        if options.extra_body:
            provenance["extra_body"] = options.extra_body
        return provenance

    async def _answers(
        self, items: Sequence[Item], content: Callable[[Item], Content], request: dict
    ) -> list[Any]:
        """Return a `choice`, an error or None for each item; `concurrency` requests at a time."""
        import anyio

        answers: list[Any] = [None] * len(items)
        limiter = anyio.CapacityLimiter(self.options.concurrency)

        async def ask(number: int, client: Any) -> None:
            async with limiter:
                # In a thread, since encoding an image would block the event loop.
                message = await anyio.to_thread.run_sync(content, items[number])
                answers[number] = await self._try(message, request, client)

        async with self._client() as client, anyio.create_task_group() as group:
            for number in range(len(items)):
                group.start_soon(ask, number, client)
        return answers

    def _client(self, **settings: Any) -> Any:
        from openai import AsyncOpenAI

        from wxr_plugin.vlm.server_http import GuardedClient

        defaults = {"timeout": self.options.timeout, "max_retries": self.options.retries}
        return AsyncOpenAI(
            base_url=self.url,
            api_key=self.key,
            http_client=GuardedClient(verify=_certificates()),
            **defaults | settings,
        )

    async def _try(self, content: Content, request: dict[str, Any], client: Any) -> Any:
        """Send one message, and return the `choice`, the error, or None for an unusable answer."""
        from openai import OpenAIError

        messages: list[dict[str, Any]] = []
        if self.options.system:
            messages.append({"role": "system", "content": self.options.system})
        messages.append({"role": "user", "content": content})
        try:
            answer = await client.chat.completions.create(
                model=self.options.model,
                messages=messages,
                extra_body=self.options.extra_body,
                **request,
            )
        except OpenAIError as error:
            return error
        except (ValueError, RecursionError):  # the answer is not JSON, or nested too deeply
            return None
        choices = getattr(answer, "choices", None)
        return choices[0] if isinstance(choices, list) and choices else None

    def _is_reachable(self) -> bool:
        answer = _in_event_loop(self._hello)
        return not isinstance(answer, Exception) or is_bad_request(answer)

    async def _hello(self) -> Any:
        timeout = min(self.options.timeout, 10)
        async with self._client(max_retries=0, timeout=timeout) as client:
            return await self._try("Hello", {"max_tokens": 1}, client)

    def _error(self, error: Exception) -> WxrError:
        attempts = "not tried again"
        if is_retried(error):
            attempts = f"tried {self.options.retries + 1} times"
        why = reason(error, self.options.timeout)
        return WxrError(f"{self.url}: {why}, {attempts}; {advice(error, self.options.model)}")


def text_of(choice: Any) -> str:
    """Return the text of a `choice`; empty if it has none."""
    content = getattr(getattr(choice, "message", None), "content", None)
    return content.strip() if isinstance(content, str) else ""


def _in_event_loop(function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Return the result of a coroutine function, run in a new event loop.

    An interrupt of the calling thread cancels it.
    """
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        return portal.call(function, *arguments)


@cache
def _certificates() -> ssl.SSLContext:
    """Return the certificates that https is verified with, loaded once."""
    # Loading them takes longer than a request to a server on the same machine.
    return ssl.create_default_context()


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise WxrError(
            f"'{url}' is not the address of a server; give one such as http://localhost:8000/v1"
        )
    return url.rstrip("/") if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1"


def _key(variable: str | None) -> str:
    if variable is None:
        return "none"  # the client of openai refuses an empty key
    if not os.environ.get(variable):
        raise WxrError(
            f"api_key_env: the environment variable {variable} is not set; set it to the server's "
            "key"
        )
    return os.environ[variable]
