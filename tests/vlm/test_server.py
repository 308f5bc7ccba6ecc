"""Raters, describers and rewriters behind a chat server, over real HTTP on loopback."""

import asyncio
import math
import socket
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from chat_server import serving
from skimage import data

from wxr_plugin.data.weather.synthesis import add_weather
from wxr_plugin.errors import WxrError
from wxr_plugin.vlm import server_rater
from wxr_plugin.vlm.describer import build_describer
from wxr_plugin.vlm.rater import RATING_WORDS, build_rater, rating_from_logits
from wxr_plugin.vlm.rewriter import build_rewriter
from wxr_plugin.vlm.server_rater import NEVER, logits_from_text, logits_from_top


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    """Return a photo, clear and with light to heavy weather."""
    photo = data.coffee().astype(np.float32)[40:360:2, 100:420:2] / 255
    views = [photo] + [
        add_weather(photo, kind, s, np.random.default_rng(7))
        for kind in ("rain", "haze")
        for s in (0.3, 0.9)
    ]
    return [(view * 255 + 0.5).astype(np.uint8) for view in views]


def rater(options, **more):
    return build_rater({"type": "ServerRater", **options, **more})


# Reading an answer


def test_tokens_that_begin_a_word_are_summed_and_a_word_that_none_begins_gets_the_lowest():
    top = [
        ("Good", math.log(0.4)),
        (" good", math.log(0.1)),
        ("▁fair", math.log(0.3)),
        ("The", -3.0),
        ("po", math.log(0.02)),
    ]
    result = logits_from_top(top)
    assert result[1] == pytest.approx(math.log(0.5)) and result[2] == pytest.approx(math.log(0.3))
    assert result[3] == pytest.approx(math.log(0.02)) and result[0] == result[4] == pytest.approx(
        math.log(0.02)
    )
    p = torch.tensor([0.02, 0.5, 0.3, 0.02, 0.02])
    expected = (p * torch.tensor([5.0, 4, 3, 2, 1])).sum() / p.sum()
    torch.testing.assert_close(rating_from_logits(torch.tensor(result)), expected)


def test_an_answer_without_any_of_the_words_is_unusable():
    assert all(map(math.isnan, logits_from_top([("The", -0.1), (" ", -2.0), ("goodness", -3.0)])))


def test_a_probability_of_zero_stays_finite():
    assert logits_from_top([("good", 0.0), ("x", -9999.0)])[1] == 0.0
    assert rating_from_logits(torch.tensor(logits_from_top([("good", 0.0), ("x", -9999.0)]))) == 4.0


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("good", "good"),
        ("Good.", "good"),
        ("The visibility is poor.", "poor"),
        ("**Bad**", "bad"),
        ("fair, not good", "fair"),
        ("excellent, good, fair, poor, or bad", "excellent"),
        ("It is good or fair", None),
        ("goodness me", None),
        ("", None),
    ],
)
def test_the_word_that_a_text_answers_with(text, word):
    result = logits_from_text(text)
    if word is None:
        assert all(map(math.isnan, result))
    else:
        assert result == tuple(0.0 if rated == word else NEVER for rated in RATING_WORDS)
        assert rating_from_logits(torch.tensor(result)).item() == 5 - RATING_WORDS.index(word)


# Rating


def test_ratings_are_those_of_the_same_model_in_this_process(photos):
    local = build_rater().rate(photos).rating
    assert local.max() - local.min() > 1
    with serving() as (options, behaviour):
        result = rater(options).rate(photos)
        tensor = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255
        again = rater(options, url=options["url"].removesuffix("/v1")).rate(tensor)
    torch.testing.assert_close(result.rating, local, atol=0.02, rtol=0)
    assert torch.equal(result.rating, again.rating) and result.logits.shape == (5, 5)
    request = behaviour.requests[1][0]
    assert (
        request["max_tokens"] == 1 and request["temperature"] == 0 and request["top_logprobs"] == 20
    )


def test_a_server_that_lists_five_tokens_is_asked_for_five(photos):
    with serving(most_logprobs=5) as (options, _):
        client = rater(options)
        assert client.provenance["top_logprobs"] == 5
        torch.testing.assert_close(
            client.rate(photos).rating, build_rater().rate(photos).rating, atol=0.25, rtol=0
        )


@pytest.mark.parametrize("logprobs", [False, "refuse"])
def test_without_log_probabilities_the_answered_word_is_used_and_logged(photos, logprobs, logged):
    with serving(logprobs=logprobs) as (options, _):
        client = rater(options)
        ratings = client.rate(photos).rating
    assert "returns no log-probabilities: its answered word is used" in logged.text
    likeliest = 5 - build_rater().rate(photos).logits.argmax(1)
    assert torch.equal(ratings, likeliest.float()) and client.provenance["top_logprobs"] == 0


def test_requests_run_in_parallel_up_to_the_limit(photos):
    with serving(seconds=0.2) as (options, behaviour):
        rater(options, concurrency=3).rate(photos * 2)
    assert behaviour.most_running == 3


def test_it_works_in_threads_and_inside_an_event_loop(photos):
    async def inside(client):
        return client.rate(photos[:2]).rating

    with serving() as (options, _):
        client = rater(options)
        expected = client.rate(photos[:2]).rating
        with ThreadPoolExecutor(4) as threads:
            result = [
                *threads.map(lambda _: client.rate(photos[:2]).rating, range(4)),
                asyncio.run(inside(client)),
            ]
    assert all(torch.equal(ratings, expected) for ratings in result)


def test_no_image_no_request(photos):
    with serving() as (options, behaviour):
        client = rater(options)
        assert client.rate([]).rating.shape == (0,) and len(behaviour.requests) == 1
        broken = torch.full((1, 3, 32, 32), torch.nan)
        assert client.rate(broken).rating.isnan().all()


# Failures


def test_an_overload_at_the_start_is_retried(photos):
    with serving(refuse=2) as (options, _):
        assert rater(options, retries=3).rate(photos).rating.isfinite().all()


def test_an_unreachable_server_is_named_with_advice():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(
            WxrError, match=r"127.0.0.1:\d+/v1: no connection .*, tried 2 times; start it"
        ) as caught:
            rater({"url": url, "model": "tiny", "retries": 1})
    assert "\n" not in str(caught.value)


def test_a_server_that_dies_half_way_is_an_error_and_not_a_rating(photos):
    with serving(dies_after=5) as (options, _):
        client = rater(options, concurrency=2)
        assert client.rate(photos[:2]).rating.isfinite().all()
        with pytest.raises(WxrError, match="no connection"):
            client.rate(photos)
        with pytest.raises(WxrError, match="no connection"):
            client.rate(photos[:1])


@pytest.mark.parametrize("status", [400, 503])
def test_single_failed_requests_have_no_ratings_and_are_logged(photos, status, logged):
    heavy = {photos[2].tobytes(), photos[4].tobytes()}
    breaks = {
        "breaks_on": lambda image: image.permute(1, 2, 0).numpy().tobytes() in heavy,
        "status": status,
    }
    with serving(**breaks) as (options, _):
        ratings = rater(options).rate(photos).rating
    assert ratings.isnan().tolist() == [False, False, True, False, True]
    assert (
        f"2 of 5 requests have no answer (HTTP {status}" in logged.text
        and "cannot take this image" in logged.text
    )


def test_a_time_out_is_named(photos):
    with (
        serving(seconds=1.0) as (options, _),
        pytest.raises(WxrError, match=r"no answer within 0.2 s.*raise `timeout`"),
    ):
        rater(options, timeout=0.2, retries=0)


@pytest.mark.parametrize(
    "answer", [b"<html>hello</html>", b"[]", b'{"choices": []}', b'{"choices": [{"x": 1}]}', b"3"]
)
def test_garbage_is_refused_at_the_start_and_ignored_later(photos, answer):
    with serving() as (options, behaviour):
        client, describer = rater(options), build_describer({"type": "ServerDescriber", **options})
        behaviour.answers = answer
        assert client.rate(photos[:2]).rating.isnan().all()
        assert describer.describe(photos[:2]) == ["", ""]
        if b"x" not in answer:
            with pytest.raises(WxrError, match="not as a chat server; correct `url`"):
                rater(options)


def test_unusable_answers_have_no_ratings(photos):
    with serving(logprobs=False, answers="I cannot see images.") as (options, _):
        assert rater(options).rate(photos[:2]).rating.isnan().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "lava"}, "HTTP 404 .*does it serve a model called 'lava'"),
        (
            {"url": "localhost:8000"},
            "'localhost:8000' is not the address of a server; give one such as http",
        ),
        (
            {"api_key_env": "WXR_TEST_NO_SUCH_KEY"},
            "environment variable WXR_TEST_NO_SUCH_KEY is not set",
        ),
        ({"modle": "tiny"}, "unknown field `modle`.*keys: "),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_wrong_options_are_one_line(changes, message):
    with serving() as (options, _), pytest.raises(WxrError, match=message) as caught:
        rater(options, **changes)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_not_accepted_points_to_its_option():
    with (
        serving(refuse=9, status=401) as (options, _),
        pytest.raises(WxrError, match=r"HTTP 401.*`api_key_env`"),
    ):
        rater(options)


# Requests and provenance


def test_key_system_message_and_further_keys_reach_the_server(photos, monkeypatch):
    monkeypatch.setenv("WXR_TEST_KEY", "secret")
    more = {
        "api_key_env": "WXR_TEST_KEY",
        "system": "Be brief.",
        "extra_body": {"top_k": 7},
        "image_format": "jpeg",
    }
    with serving() as (options, behaviour):
        rater(options, **more).rate(photos[:1])
    body, key = behaviour.requests[-1]
    assert key == "Bearer secret" and body["top_k"] == 7
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["messages"][1]["content"][0]["image_url"]["url"].startswith(
        "data:image/jpeg;base64,"
    )


def test_provenance_contains_everything_but_the_key(monkeypatch):
    monkeypatch.setenv("WXR_TEST_KEY", "secret")
    with serving() as (options, _):
        first = rater(options, api_key_env="WXR_TEST_KEY").provenance
        assert "secret" not in str(first) and first["server"] == options["url"]
        assert rater(options, concurrency=2, timeout=9).provenance == first
        for change in (
            {"prompt": "quality"},
            {"image_format": "webp"},
            {"system": "Be brief."},
            {"extra_body": {"a": 1}},
        ):
            assert rater(options, **change).provenance != first
        named = rater(options, identity="tiny on any machine").provenance
    with serving() as (elsewhere, _):
        assert rater(elsewhere, identity="tiny on any machine").provenance == named


# Describing and rewriting


def test_descriptions_are_those_of_the_same_model_in_this_process(photos):
    with serving() as (options, _):
        describer = build_describer({"type": "ServerDescriber", **options})
        assert describer.describe(photos) == build_describer().describe(photos)
    assert describer.provenance["max_tokens"] == 64


@pytest.mark.parametrize(
    ("answer", "clean", "expected"),
    [
        ("The weather is clear. A red car.", True, "The weather is clear. A red car."),
        ('"A red car\non a wet road."', True, "The weather is clear. A red car on a road."),
        ('"A red car\non a wet road."', False, "A red car on a wet road."),
        (" ", True, None),
    ],
)
def test_rewritten_texts_of_a_server_are_cleaned_by_the_rules(answer, clean, expected):
    with serving(answers=answer) as (options, behaviour):
        rewriter = build_rewriter({"type": "ServerRewriter", "clean": clean, **options})
        assert rewriter.rewrite(["A red car on a wet road."]) == [expected]
    question = behaviour.requests[-1][0]["messages"][0]["content"]
    assert question.startswith("Rewrite this caption") and question.endswith(
        "\n\nA red car on a wet road."
    )
    assert rewriter.provenance["clean"] is clean


def test_a_server_rewriter_with_a_real_model_leaves_no_weather():
    from wxr_plugin.vlm.weather_words import weather_words

    with serving() as (options, _):
        texts = build_rewriter({"type": "ServerRewriter", **options}).rewrite(
            ["A scene with heavy rain."]
        )
    assert len(texts) == 1 and not weather_words(texts[0] or "")


def test_malformed_tokens_are_ignored():
    malformed = [7, None, SimpleNamespace(token="good"), SimpleNamespace(token=3, logprob=-1.0)]
    usable = SimpleNamespace(token="good", logprob=-0.5)
    choice = SimpleNamespace(
        logprobs=SimpleNamespace(content=[SimpleNamespace(top_logprobs=[*malformed, usable])])
    )
    assert server_rater._top_logprobs(choice) == [("good", -0.5)]
