"""Errors of huggingface_hub as single lines that say what to do."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.disk import is_disk_full

HUB = "https://huggingface.co"
CUT = ("Consistency check", "peer closed connection", "Server disconnected")
"""Words in the errors of a connection that ended early."""
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


class UnreachableError(WxrError):
    """The hub does not answer, is overloaded, or something else answers in its place."""


def endpoint() -> str:
    """Return the address of the hub."""
    # Read here, as huggingface_hub reads it when it is imported.
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


@contextmanager
def errors_as_lines(reference: Any, action: str = "fetched") -> Iterator[None]:
    """Raise the errors of huggingface_hub within the block as WxrError.

    Args:
        reference: what the line begins with; its `repo` is named in addresses.
        action: participle for what is done with a file.

    Raises:
        UnreachableError: there is no network, or a login page answers.
        WxrError: any other error of the hub, or a full disk.
    """
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    # It warns of every attempt, and the last error says the same.
    logger.setLevel(logging.ERROR)
    try:
        yield
    except WxrError:
        raise
    except Exception as error:
        raise _as_line(reference, action, error) from error
    finally:
        logger.setLevel(before)


def first_line(error: BaseException) -> str:
    """Return the first line of an error with words in it, or the name of its class."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _as_line(reference: Any, action: str, error: BaseException) -> WxrError:
    from huggingface_hub import errors

    # hf_hub_download hides an error of the network behind a missing cache entry.
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__:
        return _as_line(reference, action, error.__cause__)
    if is_disk_full(error):
        cache = "free some space, or set HF_HOME to a folder on another disk"
        return WxrError(f"{reference}: cannot be {action}: the disk is full; {cache}")
    if isinstance(error, errors.HfHubHTTPError) and _is_overloaded(error):
        status = error.response.status_code
        return UnreachableError(f"{reference}: the hub answers with error {status}; try later")
    if isinstance(error, errors.HfHubHTTPError):
        return WxrError(f"{reference}: {_refusal(reference, error)}")
    if isinstance(error, errors.HFValidationError):
        return WxrError(f"{reference}: not a name on the hub: {first_line(error)}")
    # A page in place of JSON, or of the headers of a file.
    if isinstance(error, errors.FileMetadataError) or _is_bad_json(error):
        return UnreachableError(
            f"{reference}: {endpoint()} does not answer as the hub does; is it a login page or a "
            "proxy? Open it in a browser, or correct HF_ENDPOINT"
        )
    if isinstance(error, ValueError):
        reason = " ".join(str(error).split())
        return WxrError(f"{reference}: cannot be {action}: {reason}")
    if any(words in str(error) for words in CUT):
        return UnreachableError(
            f"{reference}: the connection was cut; nothing was kept, run the command again"
        )
    return UnreachableError(
        f"{reference}: cannot be {action} ({first_line(error)}); check the network and the proxy, "
        "or set HF_ENDPOINT to a mirror"
    )


def _is_bad_json(error: BaseException) -> bool:
    # The text is not JSON, or lacks entries that the hub always sends.
    return isinstance(error, json.JSONDecodeError | UnicodeDecodeError | KeyError | TypeError)


def _is_overloaded(error: Any) -> bool:
    status = error.response.status_code
    return status == 429 or status >= 500


def _refusal(reference: Any, error: Any) -> str:
    """Return the part of a message for an answer of the hub with an error's status."""
    from huggingface_hub import errors

    repo = getattr(reference, "repo", str(reference))
    if isinstance(error, errors.GatedRepoError):
        return f"needs its authors' consent; ask for it on {endpoint()}/{repo}, then {LOGIN}"
    if isinstance(error, errors.RevisionNotFoundError):
        revision = getattr(reference, "revision", None)
        return f"the repository has no revision {revision!r}; see {endpoint()}/{repo}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"no such repository, or a private one; check its name, or {LOGIN}"
    if isinstance(error, errors.EntryNotFoundError):
        return f"the repository has no such file; see {endpoint()}/{repo}/tree/main"
    status = error.response.status_code
    if status in (401, 403):
        return f"the hub refuses it ({status}): your token is missing or lacks the right; {LOGIN}"
    return f"the hub answers with error {status}: {first_line(error)}"
