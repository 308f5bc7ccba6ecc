"""Errors of a chat server: their reasons, and advice for fixing them."""

from wxr_plugin.vlm.fetch import first_line


def is_bad_request(error: Exception) -> bool:
    """Return whether the server refused this request only, as too large or malformed."""
    return getattr(error, "status_code", None) in (400, 413, 415, 422)


def is_retried(error: Exception) -> bool:
    """Return whether a request is sent again after `error`, as the failure may be temporary."""
    return not is_bad_request(error) and _refusal(error) is None


def reason(error: Exception, timeout: float) -> str:
    """Return the reason of `error` in a few words on one line."""
    from openai import APIConnectionError, APITimeoutError

    if refusal := _refusal(error):
        return str(refusal)
    if isinstance(error, APITimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, APIConnectionError):
        return f"no connection ({_line(error.__cause__ or error)})"
    status = getattr(error, "status_code", None)
    return f"HTTP {status} ({_line(error)})" if status else _line(error)


def advice(error: Exception, model: str) -> str:
    """Return advice to the user for fixing `error`."""
    from openai import APITimeoutError

    if _refusal(error):
        return (
            "correct `url`: give the address of the chat server itself, if you trust it with the "
            "photos"
        )
    if isinstance(error, APITimeoutError):
        return "raise `timeout`, lower `concurrency`, or give the server more memory"
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return "name the variable that holds a key it accepts under `api_key_env`"
    if status == 404:
        return (
            f"does it serve a model called '{model}'? correct `model`, or `url`, which usually "
            "ends in /v1"
        )
    if is_bad_request(error):
        return (
            f"does '{model}' accept such a request (images, its length)? correct `model` or the "
            "request"
        )
    return "start it (for example `vllm serve MODEL`) or correct `url`"


def _refusal(error: BaseException) -> Exception | None:
    """Return the RefusedResponseError that `error` is or was raised from, if any."""
    from wxr_plugin.vlm.server_http import RefusedResponseError

    # Older versions of openai wrap errors of the HTTP client.
    for candidate in (error, error.__cause__):
        if isinstance(candidate, RefusedResponseError):
            return candidate
    return None


def _line(error: BaseException) -> str:
    return first_line(error)[:200]
