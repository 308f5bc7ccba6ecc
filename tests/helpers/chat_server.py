"""Chat server for tests: HTTP on loopback, a TransformersVLM behind it, and faults on demand."""

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import torch

from wxr_plugin.vlm.transformers_vlm import load_vlm


class Behaviour:
    """Faults of the server, in addition to answers."""

    def __init__(self, **settings):
        self.logprobs = True
        """Whether it lists the likeliest tokens; "refuse": a request for them gets an error."""
        self.most_logprobs = 20
        """Largest number of tokens that it lists; a request for more gets an error."""
        self.refuse = 0
        """Requests that it turns away with `status` before it works."""
        self.status = 503
        self.dies_after = None
        """Requests after which it is gone."""
        self.answers = None
        """Replacement of the model's answer: a text, or bytes that are the whole response."""
        self.seconds = 0.0
        """Time that an answer takes."""
        self.breaks_on = lambda image: False
        """Images whose request it refuses, with `status`."""
        self.requests = []
        self.running, self.most_running = 0, 0
        vars(self).update(settings)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server, behaviour = self.server, self.server.behaviour
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            behaviour.requests.append((body, self.headers.get("Authorization")))
            count = len(behaviour.requests)
            behaviour.running += 1
            behaviour.most_running = max(behaviour.most_running, behaviour.running)
        time.sleep(behaviour.seconds)
        with server.lock:  # before the answer: whoever has it may ask again at once
            behaviour.running -= 1
        self.answer(body, behaviour, count)

    def answer(self, body, behaviour, count):
        if behaviour.dies_after is not None and count > behaviour.dies_after:
            threading.Thread(target=self.server.shutdown).start()
            self.server.socket.close()
            self.connection.close()
            return
        if count <= behaviour.refuse:
            self.send({"error": {"message": "overloaded"}}, behaviour.status)
        elif isinstance(behaviour.answers, bytes):
            self.send(behaviour.answers)
        elif self.path != "/v1/chat/completions":
            self.send({"error": {"message": f"no {self.path}"}}, 404)
        elif body["model"] != "tiny":
            self.send({"error": {"message": f"no model {body['model']}"}}, 404)
        elif body.get("logprobs") and behaviour.logprobs == "refuse":
            self.send({"error": {"message": "logprobs are not supported"}}, 400)
        elif body.get("top_logprobs", 0) > behaviour.most_logprobs:
            self.send(
                {"error": {"message": f"top_logprobs may be {behaviour.most_logprobs} at most"}},
                400,
            )
        else:
            image, text = parts(body["messages"][-1]["content"])
            if image is not None and behaviour.breaks_on(image):
                self.send({"error": {"message": "cannot take this image"}}, behaviour.status)
            else:
                self.send(
                    {"object": "chat.completion", "choices": [self.choice(body, image, text)]}
                )

    def choice(self, body, image, text):
        behaviour = self.server.behaviour
        listed = bool(body.get("logprobs") and behaviour.logprobs)
        with self.server.lock:
            said, top = self.server.model(image, text, body, listed)
        said = said if behaviour.answers is None else behaviour.answers
        answer = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": said},
        }
        return {
            **answer,
            "logprobs": {"content": [{"token": said, "logprob": 0, "top_logprobs": top}]}
            if listed
            else None,
        }

    def send(self, body, status=200):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class Model:
    """The packaged tiny model: its answer to a request, and the likeliest first tokens."""

    def __init__(self):
        self.vlm = load_vlm("tiny")

    def __call__(self, image, text, body, listed):
        if image is None:
            return self.continue_text(text, body["max_tokens"]), []
        question = self.vlm.question(text)
        if not listed:
            return self.vlm.answers(question, [image], body["max_tokens"])[0], []
        logits = self.vlm.next_token_logits(
            question, [image], list(range(len(self.vlm.tokenizer)))
        )[0]
        values, ids = logits.log_softmax(-1).topk(body["top_logprobs"])
        tokens = [self.vlm.tokenizer.decode([number]) for number in ids.tolist()]
        return tokens[0], [{"token": t, "logprob": v} for t, v in zip(tokens, values.tolist())]

    def continue_text(self, text, max_tokens):
        given = self.vlm.tokenizer(f"USER: {text} ASSISTANT:", return_tensors="pt")
        with torch.no_grad():
            tokens = self.vlm.model.generate(**given, do_sample=False, max_new_tokens=max_tokens)
        return self.vlm.tokenizer.decode(
            tokens[0, given["input_ids"].shape[1] :], skip_special_tokens=True
        )


def parts(content):
    if isinstance(content, str):
        return None, content
    image, text = content[0]["image_url"]["url"], content[1]["text"]
    data = np.frombuffer(base64.b64decode(image.split(",")[1]), np.uint8)
    pixels = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(pixels).permute(2, 0, 1), text


@contextmanager
def serving(**settings):
    """(options, behaviour) of a server that runs during the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.lock, server.model = True, threading.Lock(), Model()
    server.behaviour = Behaviour(**settings)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield (
            {"url": f"http://127.0.0.1:{server.server_port}/v1", "model": "tiny", "retries": 1},
            server.behaviour,
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
