"""HTTP client for chat servers with limits on time, size of responses and redirects."""

from importlib import import_module
from typing import Any

import anyio
from openai import DefaultAsyncHttpxClient, OpenAIError

MOST_BYTES = 16 << 20
"""Limit on the size of a response in bytes. An answer has a few thousand."""
MOST_REDIRECTS = 5
_BODY_HEADERS = ("content-encoding", "content-length", "transfer-encoding")


class RefusedResponseError(OpenAIError):
    """A response that is too large, or a redirect that is not followed."""


class GuardedClient(DefaultAsyncHttpxClient):
    """HTTP client of `openai` with limits on whole requests.

    The time-out of httpx applies to each read, so that a server that sends a byte now and then
    never exceeds it. Here the read time-out limits the whole request, from the connection to the
    last byte of the body. Redirects are followed within an origin (scheme, host and port) only,
    because a request contains a photo and possibly a key.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, **options: Any):
        super().__init__(**{"follow_redirects": False} | options)
        self.most_bytes = most_bytes

    async def send(self, request: Any, **options: Any) -> Any:
        """Return the response to `request` with its whole body.

        Raises:
            ReadTimeout: of httpx; the request took longer than its read time-out.
            RefusedResponseError: the body is larger than `most_bytes`, or the server redirects to
                another origin.
        """
        # httpx, or httpx2 with newer versions of openai.
        package, _, _ = type(request).__module__.partition(".")
        http = import_module(package)
        seconds = (request.extensions.get("timeout") or {}).get("read")
        try:
            with anyio.fail_after(seconds):
                response = await self._answer(request, options)
                return await self._whole(response)
        except TimeoutError as error:
            raise http.ReadTimeout(
                f"no whole answer within {seconds} s", request=request
            ) from error

    async def _answer(self, request: Any, options: dict[str, Any]) -> Any:
        """Send `request` and follow redirects within its origin; the body is not read yet."""
        for _ in range(MOST_REDIRECTS + 1):
            # Streamed, so that the body can be limited while it arrives.
            settings = {**options, "stream": True, "follow_redirects": False}
            response = await super().send(request, **settings)
            if response.next_request is None:
                return response
            await response.aclose()
            _refuse_other_origin(request.url, response.next_request.url)
            request = response.next_request
        raise RefusedResponseError(f"more than {MOST_REDIRECTS} redirects")

    async def _whole(self, response: Any) -> Any:
        """Return `response` with its decoded body, of which at most `most_bytes` are read."""
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self.most_bytes:
                    limit = self.most_bytes / 2**20
                    raise RefusedResponseError(f"sends more than {limit:g} MiB for one answer")
        finally:
            await response.aclose()
        # The body is decoded already, so the headers about its encoding no longer apply.
        items = response.headers.multi_items()
        headers = [(name, value) for name, value in items if name not in _BODY_HEADERS]
        return type(response)(
            response.status_code, headers=headers, content=bytes(body), request=response.request
        )


def _refuse_other_origin(url: Any, target: Any) -> None:
    if _origin(url) != _origin(target):
        raise RefusedResponseError(
            f"redirects to another server, {_origin(target)}, which gets no photo"
        )


def _origin(url: Any) -> str:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return f"{url.scheme}://{url.host}:{port}"
