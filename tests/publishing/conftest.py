import pytest
from hub_toys import local_hub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Gives an empty hub on this machine."""
    with local_hub(monkeypatch, tmp_path / "cache") as hub:
        yield hub
