"""Together with mmagic 1.2.0: `make test-mmagic`.

The bridge comes first, as it does in a config.
"""

import pytest

import wxr_plugin.mm.mmagic_bridge  # noqa: F401
from wxr_plugin.mm import photos


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The packaged photos as the configs want them, in a folder in which one may work."""
    root = tmp_path_factory.mktemp("work")
    photos.write_all(root / "datasets/photos")
    held_out = sorted((root / "datasets/photos/held_out/gt").iterdir())
    for photo in held_out[2:-1]:
        photo.unlink()
        (root / "datasets/photos/held_out/lq" / photo.name).unlink()
    return root
