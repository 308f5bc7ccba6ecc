"""Imported before any test: the package repairs BasicSR, which does not import without it."""

import importlib.util
import logging
import urllib.request

import pytest
from file_server import forget_proxies, serving
from huggingface_hub import constants

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.utils import get_root_logger

_mmagic = importlib.util.find_spec(
    "mmagic"
)  # the folder tests/mmagic would be a spec without an origin
collect_ignore = [] if _mmagic and _mmagic.origin else ["mmagic"]  # for make test-mmagic


@pytest.fixture(autouse=True)
def open_log_streams():
    """Remove handlers of BasicSR's log whose stream, the stderr of a test before, is closed."""
    logger = logging.getLogger("basicsr")
    for handler in list(logger.handlers):
        if getattr(getattr(handler, "stream", None), "closed", False):
            logger.removeHandler(handler)


@pytest.fixture
def warnings_said(caplog):
    """Gives the warnings in BasicSR's log, which does not propagate."""
    get_root_logger().addHandler(caplog.handler)
    yield lambda: [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    get_root_logger().removeHandler(caplog.handler)


@pytest.fixture
def online(monkeypatch):
    """Leave the offline mode for a test, and keep that of the test from the next one."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(urllib.request, "_opener", None)


@pytest.fixture
def site(monkeypatch, online):
    """Gives a web server on this machine, which no proxy of the environment hides."""
    forget_proxies(monkeypatch)
    monkeypatch.delenv("WXR_MIRRORS", raising=False)
    with serving() as site:
        yield site
