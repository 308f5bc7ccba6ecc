"""Start method of data-loading workers, also where Python's default is forkserver."""

import multiprocessing

import pytest

from wxr_plugin.utils.start_method import worker_method


@pytest.fixture
def platform(monkeypatch):
    """Set the platform's start methods, the default first, and the one that was chosen."""

    def pretend(methods: list[str], chosen: str | None = None) -> None:
        monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: methods)
        monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: chosen)

    return pretend


def test_workers_are_forked_where_forkserver_is_the_default(platform):
    platform(["forkserver", "fork", "spawn"])
    assert worker_method() == "fork"


@pytest.mark.parametrize(
    "methods", [["fork", "spawn", "forkserver"], ["spawn", "fork", "forkserver"], ["spawn"]]
)
def test_other_defaults_are_kept(platform, methods):
    platform(methods)
    assert worker_method() is None


@pytest.mark.parametrize("chosen", ["forkserver", "spawn", "fork"])
def test_a_choice_is_kept(platform, chosen):
    platform(["forkserver", "fork", "spawn"], chosen)
    assert worker_method() is None
