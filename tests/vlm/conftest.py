"""Fixtures of the tests of raters, describers and rewriters."""

import logging

import pytest

from wxr_plugin.vlm import pyiqa_scores


@pytest.fixture
def logged(caplog, monkeypatch):
    """Capture BasicSR's log, with nothing logged before."""
    pyiqa_scores.log_once.cache_clear()
    logger = logging.getLogger("basicsr")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
