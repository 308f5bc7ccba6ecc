"""One LMDB environment per path and process."""

import os
import pickle
import shutil

import lmdb
import pytest

from wxr_plugin.utils import lmdb_cache


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "a.lmdb", b"v")


def write(folder, value):
    with (
        lmdb.open(str(folder), map_size=1 << 20) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b"k", value)
    return folder


def read(folder):
    with lmdb_cache.environment(folder).begin() as transaction:
        return bytes(transaction.get(b"k"))


def test_one_environment_for_every_name_of_a_folder(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert lmdb_cache.environment(folder) is lmdb_cache.environment(str(tmp_path / "link"))


def test_a_forked_child_opens_its_own_and_leaves_the_parents(folder):
    mine = lmdb_cache.environment(folder)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = read(folder) if lmdb_cache.environment(folder) is not mine else b"inherited"
        os.write(writer, answer)
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"v"
    assert read(folder) == b"v"


def test_a_rebuilt_folder_is_opened_again(folder):
    assert read(folder) == b"v"
    shutil.move(folder, folder.with_suffix(".old"))
    write(folder, b"w")
    assert read(folder) == b"w"


def test_forget_lets_it_be_written(folder):
    read(folder)
    with pytest.raises(lmdb.Error):
        write(folder, b"x")
    lmdb_cache.forget(folder)
    write(folder, b"x")
    assert read(folder) == b"x"


def test_a_lazy_environment_can_be_pickled_after_use(folder):
    lazy = lmdb_cache.LazyEnvironment(folder)
    for environment in (lazy, pickle.loads(pickle.dumps(lazy))):
        with environment.begin(write=False) as transaction:
            assert bytes(transaction.get(b"k")) == b"v"
