"""Servers that send slowly, send too much or redirect, over real HTTP on loopback."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from wxr_plugin.errors import WxrError
from wxr_plugin.vlm import server_http
from wxr_plugin.vlm.rater import build_rater

ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "good"}, "logprobs": None}]
}
PHOTOS = [np.full((32, 32, 3), 90, np.uint8)] * 2


@contextmanager
def serving(answer):
    """Run a server that calls `answer(handler)`; yield its URL and the paths of its requests."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            requests.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            try:
                answer(self)
            except OSError:  # the client has given up
                self.close_connection = True

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        server.server_close()


def send(handler, body=None, status=200, **headers):
    data = json.dumps(ANSWER).encode() if body is None else body
    handler.send_response(status)
    for name, value in (
        {"Content-Type": "application/json", "Content-Length": str(len(data))} | headers
    ).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def rater(url, **options):
    return build_rater({"type": "ServerRater", "url": url, "model": "any", "retries": 0, **options})


def drip_body(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    drip(handler)


def drip_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip(handler)


def drip(handler):
    for _ in range(100):  # 10 s: bounded, should the client not give up
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


@pytest.mark.parametrize("answer", [drip_body, drip_headers])
def test_the_time_out_applies_to_the_whole_request(answer):
    message = r"no answer within 0\.5 s, tried 2 times; raise `timeout`"
    with serving(answer) as (url, _), pytest.raises(WxrError, match=message):
        rater(url, timeout=0.5, retries=1)


def test_a_server_that_becomes_slow_is_an_error():
    behaviour = [send]
    with serving(lambda handler: behaviour[0](handler)) as (url, _):
        client = rater(url, timeout=1)
        assert client.rate(PHOTOS).rating.isfinite().all()
        behaviour[0] = drip_body
        with pytest.raises(WxrError, match=r"no answer within 1 s"):
            client.rate(PHOTOS)


def test_a_response_has_a_largest_size(monkeypatch):
    sent = []

    def flood(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b" " * (1 << 20))
            sent.append(1)

    with serving(flood) as (url, requests):
        with pytest.raises(
            WxrError, match=r"sends more than 16 MiB for one answer, not tried again; correct `url`"
        ):
            rater(url, retries=3)
        assert len(requests) == 1
    assert len(sent) < 100, "the response was not read to its end"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_photo_goes_to_another_server(status):
    def redirect(handler):
        send(handler, b"", status, Location=f"{second}/chat/completions")

    with serving(send) as (second, requests), serving(redirect) as (url, _):
        with pytest.raises(
            WxrError, match=rf"redirects to another server, {second.removesuffix('/v1')}, which"
        ):
            rater(url)
        assert requests == []


def test_a_redirect_on_the_same_server_is_followed():
    def answer(handler):
        if handler.path.endswith("/"):
            return send(handler)
        return send(handler, b"", 307, Location=f"{handler.path}/")

    with serving(answer) as (url, requests):
        assert rater(url).rate(PHOTOS).rating.tolist() == [4.0, 4.0]
    assert requests[:2] == ["/v1/chat/completions", "/v1/chat/completions/"]


def test_redirects_without_end_are_an_error():
    def redirect(handler):
        send(handler, b"", 307, Location=handler.path)

    with (
        serving(redirect) as (url, requests),
        pytest.raises(WxrError, match="more than 5 redirects"),
    ):
        rater(url)
    assert len(requests) == server_http.MOST_REDIRECTS + 1


def test_an_answer_nested_too_deeply_is_none():
    def deep(handler):
        send(handler, b"[" * 200_000)

    with (
        serving(deep) as (url, _),
        pytest.raises(WxrError, match="not as a chat server; correct `url`"),
    ):
        rater(url)
