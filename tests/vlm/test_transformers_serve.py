"""The packaged tiny model on `transformers serve`, which returns no log-probabilities."""

import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from skimage import data

import wxr_plugin
from wxr_plugin.data.weather.synthesis import add_weather
from wxr_plugin.vlm.describer import build_describer
from wxr_plugin.vlm.rater import build_rater

for needed in ("fastapi", "uvicorn"):
    pytest.importorskip(needed, reason="needs transformers[serving], which is in the extra `dev`")

MODEL = Path(wxr_plugin.__file__).parent / "assets" / "tiny_llava"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Where it serves; it runs until the tests of this file are over."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [
        "-m",
        "transformers.cli.transformers",
        "serve",
        str(MODEL),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    with log.open("w") as file:
        settings = ["--device", "cpu", "--dtype", "float32"]
        process = subprocess.Popen(
            [sys.executable, *command, *settings], stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield {"url": f"http://127.0.0.1:{port}/v1", "model": str(MODEL)}
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                url, timeout=5
            ).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} did not come up: {log.read_text()}")


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    photo = data.coffee().astype(np.float32)[40:360:2, 100:420:2] / 255
    views = [
        photo,
        *(
            add_weather(photo, kind, 0.9, np.random.default_rng(7))
            for kind in ("rain", "haze", "snow")
        ),
    ]
    return [(view * 255 + 0.5).astype(np.uint8) for view in views]


@pytest.mark.slow
def test_the_word_that_it_answers_is_the_rating_and_that_is_logged(options, photos, logged):
    rater = build_rater({"type": "ServerRater", **options})
    assert "returns no log-probabilities: its answered word is used" in logged.text
    expected = 5 - build_rater().rate(photos).logits.argmax(1)
    assert (
        rater.rate(photos).rating.tolist() == expected.tolist() and len(set(expected.tolist())) > 1
    )


@pytest.mark.slow
def test_its_descriptions_are_those_of_the_model_in_this_process(options, photos):
    describer = build_describer({"type": "ServerDescriber", **options})
    assert describer.describe(photos) == build_describer().describe(photos)
