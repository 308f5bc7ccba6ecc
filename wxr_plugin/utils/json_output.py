"""JSON on stdout for scripts: `--json` of the commands."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--json`, with which a command prints `what` as JSON."""
    parser.add_argument(
        "--json", action="store_true", help=f"print {what} as JSON; all else goes to stderr"
    )


@contextmanager
def json_result(enabled: bool) -> Iterator[dict[str, Any]]:
    """Yield a dict, and print it as JSON after the block if `enabled`.

    Within the block everything that is printed then goes to stderr, also by processes that are
    started there. Nothing is printed if the block raises.
    """
    result: dict[str, Any] = {}
    if not enabled:
        yield result
        return
    with _descriptor_on_stderr(), redirect_stdout(sys.stderr):
        yield result
    print_json(result)


@contextmanager
def _descriptor_on_stderr() -> Iterator[None]:
    """Let the file descriptor 1, which other processes inherit, be stderr within the block."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def print_json(value: Any) -> None:
    """Print `value` as indented JSON; paths become strings, NaN and infinities become null."""
    # Slow to import.
    import msgspec

    encoded = msgspec.json.encode(value, enc_hook=str)
    print(msgspec.json.format(encoded).decode())
