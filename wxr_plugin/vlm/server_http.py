"""One HTTP request to a chat server: one deadline for all of it, a largest response, no redirect to another host."""

from importlib import import_module
from typing import Any

import anyio
from openai import DefaultAsyncHttpxClient, OpenAIError

MOST_BYTES = 16 << 20
"""Bytes of a response. An answer has a few thousand; more would only fill the memory."""
MOST_REDIRECTS = 5
_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")


class RefusedResponseError(OpenAIError):
    """A response that is not read to its end, or a redirect that is not followed."""


class GuardedClient(DefaultAsyncHttpxClient):
    """The HTTP client of `openai`, with limits that hold for a whole request.

    `timeout` of httpx is that of each read, so a server that sends a byte now and then would never
    run into it. Here a request, from the connection to the last byte of its body, may take as long
    as its read time-out. A redirect is followed within one origin (scheme, host and port) only: the
    request holds a photo and perhaps a key.
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
        http = import_module(
            type(request).__module__.partition(".")[0]
        )  # httpx, or httpx2 with newer openai
        seconds = (request.extensions.get("timeout") or {}).get("read")
        try:
            with anyio.fail_after(seconds):
                return await self._whole(await self._answer(request, options))
        except TimeoutError as error:
            raise http.ReadTimeout(
                f"no whole answer within {seconds} s", request=request
            ) from error

    async def _answer(self, request: Any, options: dict[str, Any]) -> Any:
        """Send `request` and follow redirects within its origin; the body is not read yet."""
        for _ in range(MOST_REDIRECTS + 1):
            response = await super().send(
                request, **{**options, "stream": True, "follow_redirects": False}
            )
            if response.next_request is None:
                return response
            await response.aclose()
            _refuse_other_origin(request.url, response.next_request.url)
            request = response.next_request
        raise RefusedResponseError(f"more than {MOST_REDIRECTS} redirects")

    async def _whole(self, response: Any) -> Any:
        """Return `response` with its decoded body, read no further than `most_bytes`."""
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self.most_bytes:
                    raise RefusedResponseError(
                        f"sends more than {self.most_bytes / 2**20:g} MiB for one answer"
                    )
        finally:
            await response.aclose()
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in _OF_THE_BODY
        ]
        return type(response)(
            response.status_code, headers=headers, content=bytes(body), request=response.request
        )


def _refuse_other_origin(asked: Any, redirect: Any) -> None:
    if _origin(asked) != _origin(redirect):
        raise RefusedResponseError(
            f"redirects to another server, {_origin(redirect)}, which gets no photo"
        )


def _origin(url: Any) -> str:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return f"{url.scheme}://{url.host}:{port}"
