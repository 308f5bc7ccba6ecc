"""What the errors of a chat server mean, and how a person mends them."""


def is_its_own_fault(error: Exception) -> bool:
    """Whether the request itself was refused (too large, malformed), so that others may well be answered."""
    return getattr(error, "status_code", None) in (400, 413, 415, 422)


def is_tried_again(error: Exception) -> bool:
    """Return whether such a request is sent again: the failure may pass."""
    return not is_its_own_fault(error) and _refusal(error) is None


def what(error: Exception, timeout: float) -> str:
    """What went wrong, in a few words on one line."""
    from openai import APIConnectionError, APITimeoutError

    if refusal := _refusal(error):
        return str(refusal)
    if isinstance(error, APITimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, APIConnectionError):
        return f"no connection ({_line(error.__cause__ or error)})"
    status = getattr(error, "status_code", None)
    return f"HTTP {status} ({_line(error)})" if status else _line(error)


def mend(error: Exception, model: str) -> str:
    """What a person may do about it."""
    from openai import APITimeoutError

    if _refusal(error):
        return "correct `url`: give the address of the chat server itself, if you trust it with the photos"
    if isinstance(error, APITimeoutError):
        return "raise `timeout`, lower `concurrency`, or give the server more memory"
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return "name the variable that holds a key it accepts under `api_key_env`"
    if status == 404:
        return f"does it serve a model called '{model}'? correct `model`, or `url`, which mostly ends in /v1"
    if is_its_own_fault(error):
        return f"is '{model}' a model that takes such a request (images, its length)? correct `model` or the request"
    return "start it (for example `vllm serve MODEL`) or correct `url`"


def _refusal(error: BaseException) -> Exception | None:
    """Return the RefusedResponseError that `error` is, or that it was raised from; older `openai` wraps it."""
    from wxr_plugin.vlm.server_http import RefusedResponseError

    return next(
        (each for each in (error, error.__cause__) if isinstance(each, RefusedResponseError)), None
    )


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
