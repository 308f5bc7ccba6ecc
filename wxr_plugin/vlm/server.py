"""Client of servers with the OpenAI chat API (vLLM, SGLang, LMDeploy, `transformers serve`)."""

import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from msgspec import Meta

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import AtLeastOne, Block, NotNegative
from wxr_plugin.utils.extras import imported
from wxr_plugin.vlm.server_errors import advice, is_bad_request, is_retried, reason
from wxr_plugin.vlm.server_pool import ServerPool

Item = TypeVar("Item")
T = TypeVar("T")
Content = str | list[dict[str, Any]]
"""Content of a user's message in the API."""


class ServerOptions(Block):
    """Options of raters, describers and rewriters that use a server."""

    url: str | list[str]
    """Address of the server, such as http://localhost:8000/v1; /v1 is added if there is no path.

    A list names several servers of the same model, which share the requests.
    """
    model: str
    """Name under which the server serves the model."""
    system: str = ""
    """System message before the question; none when empty."""
    identity: str | None = None
    """Name of the server in stored labels; by default its URL, or all URLs.

    Set it, for example to "vicuna 7b, 8 bits", if the same model is served from changing addresses.
    """
    batch_invariant: bool = False
    """Record that an answer does not depend on the requests it is computed with.

    Set it if all servers run vLLM with VLLM_BATCH_INVARIANT=1. It is part of the provenance.
    """
    api_key_env: str | None = None
    """Environment variable with the key; by default no key is sent."""
    concurrency: AtLeastOne = 8
    """Number of simultaneous requests, to each server."""
    timeout: Annotated[float, Meta(gt=0)] = 60
    """Time limit of a request in seconds, from the connection to the last byte of the answer."""
    retries: NotNegative = 4
    """Number of retries after a lost connection, a time-out or an overload.

    The wait before a retry is 0.5 s to 8 s. Of several servers another one is tried at once, and
    the waits are those in which none of them works.
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
        urls = _addresses(options.url)
        self.url = ", ".join(urls)
        self.pool = ServerPool(urls)
        self.key = _key(options.api_key_env)

    def first(self, content: Content, **request: Any) -> Any:
        """Return the first of `first_of_each`."""
        return self.first_of_each(content, **request)[0]

    def first_of_each(self, content: Content, **request: Any) -> list[Any]:
        """Return each server's `choice` for a message, sent to check that the servers work.

        Of several servers, those that are unreachable are left out if another one answers.

        Raises:
            WxrError: no server works, after all retries, or one of them refuses the request.
        """
        answers = _in_event_loop(self._answers_of_each, content, request)
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        refusals = [error for error in errors if is_bad_request(error)]
        if refusals or len(errors) == len(answers):
            error = (refusals or errors)[0]
            raise self._error(error) from error
        choices = [answer for answer in answers if not isinstance(answer, Exception)]
        if None in choices:
            raise WxrError(f"{self.url} answers, but not as a chat server; correct `url`")
        return choices

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
        # Which server of several answers, and their order, must not matter.
        urls = sorted(server.url for server in self.pool.servers)
        provenance: dict[str, Any] = {
            "server": options.identity or ", ".join(urls),
            "model": options.model,
            "system": options.system,
        }
        if options.batch_invariant:
            provenance["batch_invariant"] = True
        if options.extra_body:
            provenance["extra_body"] = options.extra_body
        return provenance

    async def _answers(
        self, items: Sequence[Item], content: Callable[[Item], Content], request: dict
    ) -> list[Any]:
        """Return a `choice`, an error or None for each item; `concurrency` requests at a time."""
        import anyio

        answers: list[Any] = [None] * len(items)
        async with self._dispatcher() as dispatcher, anyio.create_task_group() as checks:

            async def ask(number: int) -> None:
                async with dispatcher.limiter:
                    # In a thread, since encoding an image would block the event loop.
                    message = await anyio.to_thread.run_sync(content, items[number])
                    send = partial(self._try, message, request)
                    answers[number] = await dispatcher.answer(send, checks)

            async with anyio.create_task_group() as group:
                for number in range(len(items)):
                    group.start_soon(ask, number)
            # No answer waits for the check of a server that hangs.
            checks.cancel_scope.cancel()
        return answers

    async def _answers_of_each(self, content: Content, request: dict) -> list[Any]:
        """Return a `choice`, an error or None of each server; several are not waited for."""
        async with self._dispatcher() as dispatcher:
            return await dispatcher.answer_of_each(partial(self._try, content, request))

    def _dispatcher(self) -> Any:
        from wxr_plugin.vlm.server_dispatch import Dispatcher

        # Each event loop needs connections of its own.
        clients = {server.url: self._client(server.url) for server in self.pool.servers}
        return Dispatcher(self.pool, clients, self.options.concurrency, self.options.retries)

    def _client(self, url: str, **settings: Any) -> Any:
        from openai import AsyncOpenAI

        from wxr_plugin.vlm.server_http import GuardedClient

        # Of several servers another one is tried, in place of the same one again.
        retries = self.options.retries if len(self.pool.servers) == 1 else 0
        defaults = {"timeout": self.options.timeout, "max_retries": retries}
        return AsyncOpenAI(
            base_url=url,
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
        """Return whether any server answers now."""
        for server in self.pool.servers:
            answer = _in_event_loop(self._hello, server.url)
            if not isinstance(answer, Exception) or is_bad_request(answer):
                return True
        return False

    async def _hello(self, url: str) -> Any:
        timeout = min(self.options.timeout, 10)
        async with self._client(url, max_retries=0, timeout=timeout) as client:
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


def _addresses(url: str | list[str]) -> list[str]:
    urls = [_address(item) for item in ([url] if isinstance(url, str) else url)]
    if not urls:
        raise WxrError("url: an empty list; name at least one server")
    for address in urls:
        if urls.count(address) > 1:
            raise WxrError(f"url: {address} is named twice; name each server once")
    return urls


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
