import pytest
from hub_toys import local_hub


@pytest.fixture
def cache(tmp_path):
    """Gives the folder of the cache, which does not exist yet."""
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch, cache):
    """Gives an empty hub on this machine."""
    with local_hub(monkeypatch, cache) as hub:
        yield hub
