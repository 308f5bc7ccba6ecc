"""Servers that serve the same model: which one takes the next request, and which ones rest.

A server rests after a failure, twice as long after each further one, and is checked before it takes
requests again. Its failures are forgotten when it has answered a request.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

FIRST_REST = 0.5
"""Seconds that a server rests after its first failure."""
LONGEST_REST = 8.0


class PooledServer:
    """A server and its state, which its pool changes."""

    def __init__(self, url: str):
        self.url = url
        self.running = 0
        """Requests that it is answering."""
        self.failures = 0
        """Failures since its last answer."""
        self.is_up = True
        self.rests_until = 0.0
        self.is_checked = False
        """Whether somebody is checking it at the moment."""
        self.error: Exception | None = None
        """The last failure."""


class ServerPool:
    """The servers at `urls`; its methods can be called from any thread.

    `clock` returns seconds; tests replace it.
    """

    def __init__(self, urls: Sequence[str], clock: Callable[[], float] = time.monotonic):
        self.servers = [PooledServer(url) for url in urls]
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def up(self) -> int:
        """Number of servers that take requests."""
        return sum(server.is_up for server in self.servers)

    @contextmanager
    def using(self, server: PooledServer) -> Iterator[None]:
        """Count a request as running on `server` within the block."""
        try:
            yield
        finally:
            with self._lock:
                server.running -= 1

    def take(self, avoid: Collection[PooledServer] = ()) -> PooledServer | None:
        """Return the server with the fewest requests, to be used in `using`; None if none is up.

        Servers in `avoid` are only taken if no other one is up.
        """
        with self._lock:
            up = [server for server in self.servers if server.is_up]
            if not up:
                return None
            # min takes the first of several equal ones.
            server = min(up, key=lambda server: (server in avoid, server.running))
            server.running += 1
            return server

    def due(self) -> list[PooledServer]:
        """Return the servers that have rested; the caller checks each and calls `checked`."""
        now = self._clock()
        with self._lock:
            rested = []
            for server in self.servers:
                if not server.is_up and not server.is_checked and server.rests_until <= now:
                    server.is_checked = True
                    rested.append(server)
            return rested

    def checked(self, server: PooledServer, error: Exception | None = None) -> None:
        """Let a server of `due` take requests again, or rest longer after an `error`."""
        with self._lock:
            server.is_checked = False
            if error is not None:
                self._rest(server, error)
            else:
                server.is_up = True

    def unchecked(self, server: PooledServer) -> None:
        """Leave the check of a server to the next caller of `due`."""
        with self._lock:
            server.is_checked = False

    def worked(self, server: PooledServer) -> None:
        """Forget the failures of a server that has answered."""
        with self._lock:
            server.is_up = True
            server.failures = 0

    def failed(self, server: PooledServer, error: Exception) -> None:
        """Let a server rest. Failures of requests that ran at the same time count once."""
        with self._lock:
            if server.is_up:
                server.is_up = False
                self._rest(server, error)

    def lost(self, retries: int) -> Exception | None:
        """Return an error if every server has failed more than `retries` times in a row."""
        with self._lock:
            for server in self.servers:
                if server.is_up or server.is_checked or server.failures <= retries:
                    return None
            return self.servers[-1].error

    def pause(self) -> float:
        """Return the seconds until a server has rested."""
        now = self._clock()
        with self._lock:
            rests = [server.rests_until - now for server in self.servers if not server.is_up]
        return max(0.0, min(rests, default=0.0))

    def _rest(self, server: PooledServer, error: Exception) -> None:
        server.error = error
        server.failures += 1
        # The exponent is bounded, since a server may be away for days.
        rest = FIRST_REST * 2 ** min(server.failures - 1, 10)
        server.rests_until = self._clock() + min(rest, LONGEST_REST)
