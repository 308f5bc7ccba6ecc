"""Shards of photos: complete, disjoint, stable by name, balanced by pixels."""

import numpy as np
import pytest

from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.lmdb.build import build
from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.data.sharding import Shard, read_shard, shard_keys
from wxr_plugin.errors import WxrError

KEYS = [f"rain/{number:05d}" for number in range(4000)]


def unknown(key):
    raise AssertionError("no size is read")


@pytest.mark.parametrize("text", ["0/4", "5/4", "x", "", "1/0", "-1/4", "1/4/2", "1.0/4", "²/4"])
def test_a_wrong_shard_is_one_line(text):
    with pytest.raises(WxrError, match=r"^--shard .*: write I/N with I from 1 to N.*$"):
        read_shard(text)


def test_shards_by_name_are_complete_disjoint_and_of_similar_size():
    shards = [shard_keys(KEYS, Shard(number, 4), unknown) for number in range(1, 5)]
    assert sum(map(len, shards)) == len(KEYS) and frozenset().union(*shards) == set(KEYS)
    # The deviation of a binomial number is 27 here.
    assert all(abs(len(shard) - 1000) < 110 for shard in shards)


def test_added_photos_move_none_and_the_order_does_not_matter():
    few = shard_keys(KEYS[::3], Shard(2, 5), unknown)
    assert few == shard_keys(KEYS[::-1], Shard(2, 5), unknown) & set(KEYS[::3])


def test_names_have_these_shards_on_every_machine():
    assert [sorted(shard_keys("abcdefgh", Shard(n, 2), unknown)) for n in (1, 2)] == [
        ["g", "h"],
        ["a", "b", "c", "d", "e", "f"],
    ]


def test_shards_of_equal_pixels():
    rng = np.random.default_rng(0)
    sizes = dict(zip(KEYS, (10 ** rng.uniform(4, 7.5, len(KEYS))).astype(int).tolist()))
    shards = [shard_keys(KEYS, Shard(n, 7, "pixels"), sizes.get) for n in range(1, 8)]
    pixels = [sum(sizes[key] for key in shard) for shard in shards]
    assert sum(map(len, shards)) == len(KEYS) and frozenset().union(*shards) == set(KEYS)
    assert max(pixels) < 1.001 * min(pixels)
    by_name = [shard_keys(KEYS, Shard(n, 7), unknown) for n in range(1, 8)]
    assert max(sum(sizes[key] for key in shard) for shard in by_name) > 1.02 * max(pixels)


def test_photos_of_unknown_size_are_dealt_out_evenly():
    shards = [shard_keys(KEYS, Shard(n, 4, "pixels"), lambda key: None) for n in range(1, 5)]
    assert [len(shard) for shard in shards] == [1000] * 4


def test_pixels_of_a_folder_and_its_lmdb_are_the_same(tmp_path):
    write_image(tmp_path / "photos" / "a.png", np.zeros((4, 6, 3), np.uint8))
    build(tmp_path / "photos", tmp_path / "photos.lmdb", progress=False)
    folder, lmdb = RealPhotos(tmp_path / "photos"), RealPhotos(tmp_path / "photos.lmdb")
    assert folder.pixels("a") == lmdb.pixels("a") == 24
    (tmp_path / "photos" / "a.png").write_bytes(b"no image")
    assert folder.pixels("a") is None
