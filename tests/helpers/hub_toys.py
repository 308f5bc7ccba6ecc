"""A hub on this machine in place of the real one, and an empty cache."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from file_server import forget_proxies
from hub_server import TOKEN, Hub, serving_hub

from wxr_plugin.hub import fetching

OWNER = "someone"
NAME = f"{OWNER}/rain"
WEIGHTS = b"not really weights " * 100


@contextmanager
def local_hub(monkeypatch, cache: Path) -> Iterator[Hub]:
    """Yield a hub that huggingface_hub asks within the block, with a cache of its own."""
    from huggingface_hub import constants

    forget_proxies(monkeypatch)
    # A test before may have set up BasicSR's logger, which then takes the lines.
    monkeypatch.setattr(logging.getLogger("basicsr"), "handlers", [])
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    # The transfer of Xet needs a server of its own.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with serving_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        forget()
        yield hub
    forget()


def forget() -> None:
    """Forget which references this process has resolved."""
    fetching._repository.cache_clear()


def log_in(monkeypatch) -> None:
    """Give the token that the hub accepts."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def go_offline(monkeypatch) -> None:
    """Refuse all requests, as `--offline` does."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    forget()


def left(cache: Path) -> list[str]:
    """Return the files of a cache that belong to repositories."""
    paths = sorted(cache.rglob("*"))
    locks = ".locks"
    return [path.name for path in paths if path.is_file() and locks not in path.parts]
