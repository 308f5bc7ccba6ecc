"""Folders of the page: nothing outside of them is read."""

import numpy as np
import pytest

from wxr_plugin.app.folders import Folders
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import WxrError

PHOTO = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def folders(tmp_path) -> Folders:
    write_image(tmp_path / "open" / "b" / "2.png", PHOTO)
    write_image(tmp_path / "open" / "1.png", PHOTO)
    write_image(tmp_path / "secret" / "3.png", PHOTO)
    return Folders([tmp_path / "open"])


def test_photos_below_an_allowed_folder(folders, tmp_path):
    names = [path.name for path in folders.photos(f" {tmp_path}/open ")]
    assert names == ["1.png", "2.png"]
    assert folders.photos(f"{tmp_path}/open/1.png")[0].name == "1.png"


@pytest.mark.parametrize("text", ["{0}/secret", "{0}/open/../secret", "/etc", "{0}", "{0}/opened"])
def test_paths_outside_are_refused(folders, tmp_path, text):
    with pytest.raises(WxrError, match="not below an allowed folder"):
        folders.checked(text.format(tmp_path))


def test_links_that_lead_out_are_not_followed(folders, tmp_path):
    (tmp_path / "open" / "way").symlink_to(tmp_path / "secret")
    (tmp_path / "open" / "0.png").symlink_to(tmp_path / "secret" / "3.png")
    with pytest.raises(WxrError, match="not below an allowed folder"):
        folders.checked(f"{tmp_path}/open/way")
    assert [path.name for path in folders.photos(f"{tmp_path}/open")] == ["1.png", "2.png"]


def test_missing_and_empty_paths_are_named(folders, tmp_path):
    with pytest.raises(WxrError, match="does not exist"):
        folders.checked(f"{tmp_path}/open/none")
    with pytest.raises(WxrError, match="name a folder"):
        folders.checked("  ")
    (tmp_path / "open" / "empty").mkdir()
    with pytest.raises(WxrError, match="has no photos"):
        folders.photos(f"{tmp_path}/open/empty")


def test_without_folders_nothing_can_be_read(tmp_path):
    with pytest.raises(WxrError, match="start the page with --folder"):
        Folders([]).checked(str(tmp_path))
    with pytest.raises(WxrError, match="no such folder"):
        Folders([tmp_path / "none"])
