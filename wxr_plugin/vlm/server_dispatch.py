"""Sending of requests to the servers of a pool, from one event loop."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

import anyio

from wxr_plugin.vlm.server_errors import is_bad_request
from wxr_plugin.vlm.server_pool import PooledServer, ServerPool

CHECK_SECONDS = 5.0
"""Time limit of a health check."""
SHORTEST_PAUSE = 0.02
"""Seconds between two looks at the servers while another request checks them."""

Send = Callable[[Any], Awaitable[Any]]
"""Sends a request with a client, and returns its answer or an error."""


class Dispatcher:
    """Sends each request to the least loaded server, and to another one after a failure.

    Args:
        pool: the servers, whose state other event loops may share.
        clients: URL of a server -> its client, which is closed with the dispatcher.
        concurrency: simultaneous requests to each server.
        retries: failures in a row after which the servers are given up when none is up.
    """

    def __init__(
        self, pool: ServerPool, clients: Mapping[str, Any], concurrency: int, retries: int
    ):
        self.pool = pool
        self.clients = clients
        self.concurrency = concurrency
        self.retries = retries
        self.limiter = anyio.CapacityLimiter(concurrency * max(1, pool.up))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for client in self.clients.values():
            await client.close()

    async def answer(self, send: Send, checks: Any) -> Any:
        """Return the answer of any server, or an error when none answers.

        Health checks run in the task group `checks`, so that no request waits for them while a
        server is up.
        """
        if len(self.pool.servers) == 1:  # its client repeats requests by itself
            return await send(self.clients[self.pool.servers[0].url])
        tried: list[PooledServer] = []
        while True:
            for rested in self.pool.due():
                checks.start_soon(self._check, rested)
            server = self.pool.take(tried)
            if server is None:
                error = await self._wait()
                if error is not None:
                    return error
                continue
            answer = await self._sent(send, server)
            if not isinstance(answer, Exception) or is_bad_request(answer):
                return answer
            tried.append(server)
            # A request that fails on every server is at fault itself.
            if len(tried) >= self.retries + len(self.pool.servers):
                return answer

    async def _wait(self) -> Exception | None:
        """Wait until a server may be up again; return an error if all are given up."""
        # Another request may be checking, so the pause may be 0.
        await anyio.sleep(max(self.pool.pause(), SHORTEST_PAUSE))
        for rested in self.pool.due():
            await self._check(rested)
        return self.pool.lost(self.retries)

    async def answer_of_each(self, send: Send) -> list[Any]:
        """Return the answer or error of each server; wait while none answers."""
        answers: list[Any] = []
        for _ in range(self.retries + 1):
            answers = []
            for server in self.pool.servers:
                if len(self.pool.servers) == 1:
                    return [await send(self.clients[server.url])]
                answers.append(await self._first_sent(send, server))
            serious = [error for error in answers if isinstance(error, Exception)]
            if len(serious) < len(answers) or any(map(is_bad_request, serious)):
                break
            await anyio.sleep(self.pool.pause())
        return answers

    async def _first_sent(self, send: Send, server: PooledServer) -> Any:
        server.running += 1
        return await self._sent(send, server)

    async def _sent(self, send: Send, server: PooledServer) -> Any:
        """Return the answer of `server`, and record whether it works."""
        with self.pool.using(server):
            answer = await send(self.clients[server.url])
        if isinstance(answer, Exception) and not is_bad_request(answer):
            self.pool.failed(server, answer)
        else:
            self.pool.worked(server)
        self._fit_limit()
        return answer

    async def _check(self, server: PooledServer) -> None:
        """Ask a rested server for its models, and record whether it works."""
        client = self.clients[server.url].with_options(max_retries=0, timeout=CHECK_SECONDS)
        try:
            await client.models.list()
            self.pool.checked(server)
        except Exception as error:  # the client of openai raises anything on foreign answers
            # Servers without a list of models answer so, and are there.
            is_there = getattr(error, "status_code", None) in (404, 405, 501)
            self.pool.checked(server, None if is_there else error)
        except BaseException:  # all answers have come
            self.pool.unchecked(server)
            raise
        self._fit_limit()

    def _fit_limit(self) -> None:
        """Let the servers that are up have `concurrency` requests each."""
        self.limiter.total_tokens = self.concurrency * max(1, self.pool.up)
