"""Several servers behind one rater or describer, which die and return, over HTTP on loopback."""

import hashlib
import json
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from wxr_plugin.errors import WxrError
from wxr_plugin.vlm.describer import build_describer
from wxr_plugin.vlm.rater import build_rater
from wxr_plugin.vlm.registries import chosen, same_answers

IMAGES = [np.full((8, 8, 3), number, np.uint8) for number in range(24)]


class Handler(BaseHTTPRequestHandler):
    """A chat server whose answer is a hash of the request."""

    def do_GET(self):
        self.server.owner.checks += 1
        self.send(200 if self.server.owner.status == 200 else 503, {"object": "list", "data": []})

    def do_POST(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with owner.lock:
            owner.requests += 1
            owner.running += 1
            owner.most_running = max(owner.most_running, owner.running)
            dies = owner.requests == owner.dies_at
        if dies:
            owner.stop()
        time.sleep(owner.seconds)
        with owner.lock:
            owner.running -= 1
        if not owner.is_alive:
            self.connection.close()
            return
        text = hashlib.sha256(body).hexdigest()
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": text}}
        choice["message"]["role"] = "assistant"
        if owner.top:
            top = [{"token": "good", "logprob": -0.1}, {"token": "bad", "logprob": -3.0}]
            choice["logprobs"] = {"content": [{"token": "good", "top_logprobs": top}]}
        self.send(owner.status, {"object": "chat.completion", "choices": [choice]})

    def send(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class ChatServer:
    """One server, which can be stopped and started at the same port."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = self.running = self.most_running = self.checks = 0
        self.status, self.seconds, self.dies_at, self.top = 200, 0.0, None, True
        self.port = 0
        self.is_alive = False
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self):
        self.http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.http.daemon_threads, self.http.owner = True, self
        self.port = self.http.server_port
        self.is_alive = True
        serve = self.http.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self):
        if self.is_alive:
            self.is_alive = False
            self.http.socket.close()
            threading.Thread(target=self.http.shutdown).start()


@contextmanager
def serving(count):
    with ExitStack() as stack:
        servers = [ChatServer() for _ in range(count)]
        for server in servers:
            stack.callback(server.stop)
        yield servers


def describer(servers, **more):
    options = {"model": "any", "url": [server.url for server in servers], "retries": 3}
    return build_describer({"type": "ServerDescriber", **options, **more})


@pytest.fixture(scope="module")
def expected():
    with serving(1) as servers:
        return describer(servers).describe(IMAGES)


def test_answers_and_their_order_are_those_of_one_server(expected):
    assert len(set(expected)) == len(IMAGES)
    with serving(3) as servers:
        for number, server in enumerate(servers):
            server.seconds = 0.02 * number
        client = describer(servers)
        assert client.describe(IMAGES) == expected
        assert all(server.requests > 2 for server in servers)
        backwards = describer(servers[::-1])
        assert backwards.describe(IMAGES) == expected
        assert backwards.provenance == client.provenance


def test_the_faster_server_answers_more_and_none_gets_more_than_its_limit(expected):
    with serving(2) as (slow, fast):
        slow.seconds, fast.seconds = 0.3, 0.01
        assert describer([slow, fast], concurrency=2).describe(IMAGES) == expected
    assert fast.requests > 2 * slow.requests
    assert slow.most_running <= 2


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_a_server_that_dies_in_the_middle_loses_no_answer(expected, dead):
    with serving(3) as servers:
        for server in servers:
            server.seconds = 0.02
        client = describer(servers, concurrency=2)
        servers[dead].dies_at = 3
        assert client.describe(IMAGES) == expected
        requests = servers[dead].requests
        assert client.describe(IMAGES) == expected
        assert servers[dead].requests == requests


def test_a_server_that_returns_is_used_again(expected):
    with serving(2) as (first, second):
        client = describer([first, second], concurrency=2)
        second.stop()
        assert client.describe(IMAGES) == expected
        second.start()
        before = second.requests
        first.seconds = second.seconds = 0.05
        deadline = time.monotonic() + 20
        while second.requests == before and time.monotonic() < deadline:
            assert client.describe(IMAGES) == expected
        assert second.requests > before and second.checks


def test_an_overloaded_server_is_left_alone_until_it_is_well(expected):
    with serving(2) as (first, second):
        client = describer([first, second], concurrency=2)
        second.status = 503
        requests = second.requests
        assert client.describe(IMAGES) == expected
        # Requests that were sent at the same time, before the first failure was known.
        assert second.requests - requests <= 4


def test_all_servers_return_while_the_requests_wait(expected):
    with serving(2) as servers:
        client = describer(servers)
        for server in servers:
            server.stop()
        timer = threading.Timer(0.8, servers[1].start)
        timer.start()
        assert client.describe(IMAGES) == expected
        timer.join()


def test_without_any_server_the_error_is_one_line():
    with serving(2) as servers:
        client = describer(servers, retries=1)
        for server in servers:
            server.stop()
        with pytest.raises(WxrError, match=r"no connection .* tried 2 times") as error:
            client.describe(IMAGES[:2])
        assert "\n" not in str(error.value)
        assert all(server.url in str(error.value) for server in servers)
        with pytest.raises(WxrError, match="no connection"):
            describer(servers, retries=0)


def test_a_server_that_is_away_at_the_start_joins_later(expected):
    with serving(2) as (first, second):
        second.stop()
        client = describer([first, second], concurrency=2)
        assert client.describe(IMAGES) == expected
        second.start()
        first.seconds = 0.05
        deadline = time.monotonic() + 20
        while not second.requests and time.monotonic() < deadline:
            assert client.describe(IMAGES) == expected
        assert second.requests


def test_a_rater_uses_log_probabilities_only_if_all_servers_have_them():
    with serving(2) as (first, second):
        urls = {"model": "any", "url": [first.url, second.url]}
        assert build_rater({"type": "ServerRater", **urls}).top == 20
        second.top = False
        assert build_rater({"type": "ServerRater", **urls}).top == 0


def test_the_provenance_names_the_servers_or_their_identity():
    with serving(2) as servers:
        urls = sorted(server.url for server in servers)
        assert describer(servers).provenance["server"] == ", ".join(urls)
        named = describer(servers, identity="llava, bf16", batch_invariant=True).provenance
        assert named["server"] == "llava, bf16" and named["batch_invariant"] is True
        # The provenance of answers that are stored already stays.
        one = describer(servers[:1]).provenance
        assert one["server"] == servers[0].url and "batch_invariant" not in one


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ([], "an empty list"),
        (["http://a", "http://a/v1"], "is named twice"),
        (["http://a", "b"], "'b' is not the address of a server"),
    ],
)
def test_wrong_lists_are_one_line(url, message):
    with pytest.raises(WxrError, match=message):
        build_describer({"type": "ServerDescriber", "model": "any", "url": url})
    assert chosen("describer", {"type": "ServerDescriber", "model": "any", "url": ["http://a"]})


def test_concurrency_and_retries_of_a_list_change_no_answers():
    block = {"type": "ServerDescriber", "model": "any", "url": ["http://a", "http://b"]}
    assert same_answers("describer", block, {**block, "concurrency": 2, "retries": 0})
