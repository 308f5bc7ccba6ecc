"""Download from a hub: what is chosen, what is cached, and every way to fail."""

import errno
import logging
import socket

import pytest
from hub_toys import NAME, WEIGHTS, forget, go_offline, left, local_hub, log_in

from wxr_plugin.errors import WxrError
from wxr_plugin.hub import cached_file, fetched_file, fetched_folder, pinned

CARD = b"---\nlicense: cc-by-4.0\n---\nA card.\n"
FILES = {"README.md": CARD, "config.json": b"{}", "model.safetensors": WEIGHTS}


def refused(place, fetch=fetched_file):
    """Return the message for a reference that cannot be fetched, which is one line."""
    with pytest.raises(WxrError) as caught:
        fetch(place)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_path_stays_a_path():
    assert str(fetched_file("a/b.pth")) == "a/b.pth"
    assert not str(fetched_file("~/b.pth")).startswith("~")


def test_the_only_weights_are_fetched_and_reported_once(hub, capsys):
    commit = hub.add(NAME, FILES)
    path = fetched_file(f"hf://{NAME}")
    assert path.read_bytes() == WEIGHTS
    line = f"fetched hf://{NAME}@{commit}/model.safetensors: 1.9 kB, licence cc-by-4.0\n"
    assert capsys.readouterr().err.endswith(line)
    forget()
    assert fetched_file(f"hf://{NAME}") == path
    assert capsys.readouterr().err == ""


def test_a_named_file_of_a_revision_is_fetched(hub):
    hub.add(NAME, FILES)
    hub.repos[NAME].commit({"a/old.pth": b"old"}, "v1")
    assert fetched_file(f"hf://{NAME}@v1/a/old.pth").read_bytes() == b"old"


def test_a_process_asks_once(hub):
    hub.add(NAME, FILES)
    fetched_file(f"hf://{NAME}")
    count = len(hub.requests)
    fetched_file(f"hf://{NAME}")
    assert len(hub.requests) == count


def test_a_commit_that_is_cached_is_not_asked_for(hub):
    commit = hub.add(NAME, FILES)
    place = str(pinned(f"hf://{NAME}"))
    assert place == f"hf://{NAME}@{commit}"
    path = fetched_file(place)
    forget()
    hub.requests.clear()
    assert fetched_file(place) == path
    assert str(pinned(place)) == place
    assert hub.requests == []


def test_a_new_commit_is_fetched_by_the_next_process(hub):
    hub.add(NAME, FILES)
    fetched_file(f"hf://{NAME}")
    hub.add(NAME, {"model.safetensors": b"new"})
    forget()
    assert fetched_file(f"hf://{NAME}").read_bytes() == b"new"


def test_safetensors_come_before_pickles(hub):
    hub.add(NAME, {"a.pth": b"a", "b.pth": b"b", "c.safetensors": b"c"})
    assert fetched_file(f"hf://{NAME}").name == "c.safetensors"


def test_a_folder_has_one_format_of_weights(hub):
    files = FILES | {"model.bin": b"x", "vocab.txt": b"y", "sub/other.safetensors": b"z"}
    hub.add(NAME, files)
    folder = fetched_folder(f"hf://{NAME}")
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "vocab.txt",
    ]
    # The first file records the branch, so that the folder is found offline.
    assert cached_file(f"hf://{NAME}") == folder / "model.safetensors"


def test_a_repository_with_a_pickle_is_fetched_as_a_folder_too(hub):
    hub.add(NAME, {"net.pth": b"net", "README.md": CARD})
    assert [path.name for path in fetched_folder(f"hf://{NAME}").iterdir()] == ["net.pth"]


def test_several_candidates_are_listed(hub, cache):
    hub.add(NAME, {"a.pth": b"a", "b.pth": b"b"})
    text = refused(f"hf://{NAME}")
    assert "several files of weights (a.pth, b.pth); name one, as in " in text
    assert f"hf://{NAME}/a.pth" in text
    assert left(cache) == []


def test_a_repository_without_weights_is_refused(hub):
    hub.add(NAME, {"README.md": CARD})
    assert "has no weights (.safetensors, .pth), only README.md" in refused(f"hf://{NAME}")
    assert "has no weights" in refused(f"hf://{NAME}", fetched_folder)


def test_a_wrong_file_is_refused_with_those_of_the_repository(hub):
    hub.add(NAME, FILES)
    text = refused(f"hf://{NAME}/net_g.pth")
    assert "has no file 'net_g.pth'; it has README.md, config.json, model.safetensors" in text


def test_a_folder_takes_no_file(hub):
    text = refused(f"hf://{NAME}/model.safetensors", fetched_folder)
    assert "leave out the file" in text and hub.requests == []


@pytest.mark.parametrize("fetch", [fetched_file, fetched_folder, pinned])
def test_no_such_repository_says_to_log_in(hub, cache, fetch):
    text = refused("hf://nobody/nothing", fetch)
    assert text == (
        "hf://nobody/nothing: no such repository, or a private one; check its name, or log in with "
        "`hf auth login`, or set HF_TOKEN"
    )
    assert not cache.exists()


def test_no_such_revision_is_refused(hub):
    hub.add(NAME, FILES)
    assert "has no revision 'v9'" in refused(f"hf://{NAME}@v9")


def test_a_private_repository_needs_a_token(hub, monkeypatch):
    hub.add(NAME, FILES, private=True)
    assert "`hf auth login`" in refused(f"hf://{NAME}")
    log_in(monkeypatch)
    assert fetched_file(f"hf://{NAME}").read_bytes() == WEIGHTS


def test_a_gated_repository_says_where_to_ask(hub, monkeypatch):
    hub.add(NAME, FILES, gated=True)
    text = refused(f"hf://{NAME}")
    assert f"ask for it on {hub.url}/{NAME}" in text and "HF_TOKEN" in text
    log_in(monkeypatch)
    assert fetched_file(f"hf://{NAME}").is_file()


def test_a_login_page_is_recognised(hub, cache):
    hub.add(NAME, FILES)
    hub.page = True
    assert "is it a login page or a proxy?" in refused(f"hf://{NAME}")
    assert left(cache) == []


@pytest.mark.parametrize("status, words", {500: "error 500; try later", 403: "403"}.items())
def test_an_error_of_the_hub_is_one_line(hub, status, words):
    hub.add(NAME, FILES)
    hub.status = status
    assert words in refused(f"hf://{NAME}")


def test_nothing_stays_of_a_transfer_that_was_cut(hub, cache, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.add(NAME, FILES)
    hub.cut = 0
    assert "run the command again" in refused(f"hf://{NAME}")
    assert not [name for name in left(cache) if "incomplete" in name]
    assert cached_file(f"hf://{NAME}") is None
    hub.cut = None
    assert fetched_file(f"hf://{NAME}").read_bytes() == WEIGHTS


def test_a_transfer_resumes_after_a_short_cut(hub, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.add(NAME, FILES)
    hub.cuts = [1000]
    assert fetched_file(f"hf://{NAME}").read_bytes() == WEIGHTS
    assert hub.cuts == []


def test_a_full_disk_is_noticed_before(hub, cache, monkeypatch):
    from wxr_plugin.utils import disk

    monkeypatch.setattr(disk, "MARGIN", 1 << 60)
    hub.add(NAME, FILES)
    assert "free some space" in refused(f"hf://{NAME}")
    assert left(cache) == []


def test_a_disk_that_fills_up_is_one_line(hub, cache, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    hub.add(NAME, FILES)
    assert "the disk is full; free some space, or set HF_HOME" in refused(f"hf://{NAME}")
    assert not [name for name in left(cache) if "incomplete" in name]


@pytest.fixture
def no_network(monkeypatch):
    """Set the address of the hub to a port at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    def leave():
        monkeypatch.setenv("HF_ENDPOINT", url)
        forget()

    return leave


def test_without_a_network_the_line_says_so(hub, no_network, cache):
    no_network()
    assert "check the network and the proxy, or set HF_ENDPOINT" in refused(f"hf://{NAME}")
    assert not cache.exists()


def test_without_a_network_the_cached_commit_is_taken(hub, no_network, capsys):
    commit = hub.add(NAME, FILES)
    paths = [fetched_file(f"hf://{NAME}"), fetched_folder(f"hf://{NAME}")]
    no_network()
    assert [fetched_file(f"hf://{NAME}"), fetched_folder(f"hf://{NAME}")] == paths
    assert str(pinned(f"hf://{NAME}")) == f"hf://{NAME}@{commit}"
    text = f"the hub does not answer; taking hf://{NAME}@{commit}/model.safetensors"
    assert text in capsys.readouterr().err


def test_an_overloaded_hub_leaves_the_cached_commit(hub, capsys):
    hub.add(NAME, FILES)
    path = fetched_file(f"hf://{NAME}")
    hub.status = 503
    forget()
    assert fetched_file(f"hf://{NAME}") == path
    assert "the hub does not answer; taking" in capsys.readouterr().err


def test_an_unchanged_file_is_asked_for_once(hub):
    hub.add(NAME, FILES)
    fetched_file(f"hf://{NAME}")
    forget()
    hub.requests.clear()
    fetched_file(f"hf://{NAME}")
    assert [path.partition("?")[0] for path in hub.asked()] == [f"/api/models/{NAME}"]


def test_offline_the_cache_answers(hub, monkeypatch):
    commit = hub.add(NAME, FILES)
    path = fetched_file(f"hf://{NAME}")
    folder = fetched_folder(f"hf://{NAME}")
    go_offline(monkeypatch)
    hub.requests.clear()
    assert fetched_file(f"hf://{NAME}") == path
    assert fetched_folder(f"hf://{NAME}") == folder
    assert pinned(f"hf://{NAME}").revision == commit
    assert hub.requests == []


@pytest.mark.parametrize("fetch", [fetched_file, fetched_folder, pinned])
def test_offline_without_a_cache_is_refused(hub, monkeypatch, fetch):
    hub.add(NAME, FILES)
    go_offline(monkeypatch)
    text = refused(f"hf://{NAME}", fetch)
    assert f"fetch it once with `wxr models get hf://{NAME}`" in text
    named = refused(f"hf://{NAME}/model.safetensors")
    assert f"`wxr models get hf://{NAME}/model.safetensors`" in named
    assert hub.requests == []


def test_a_training_logs_what_it_fetches(hub, tmp_path):
    from basicsr.utils import get_root_logger

    handler = logging.FileHandler(tmp_path / "train.log")
    logger = get_root_logger()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        hub.add(NAME, FILES)
        fetched_file(f"hf://{NAME}")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()
    assert (tmp_path / "train.log").read_text().startswith(f"fetched hf://{NAME}@")


def test_only_rank_0_reports(hub, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    hub.add(NAME, FILES)
    fetched_file(f"hf://{NAME}")
    assert "fetched" not in capsys.readouterr().err


def test_two_processes_share_one_download(monkeypatch, cache):
    import subprocess
    import sys

    with local_hub(monkeypatch, cache) as hub:
        hub.add(NAME, FILES)
        monkeypatch.setenv("HF_HUB_CACHE", str(cache))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        code = f"from wxr_plugin.hub import fetched_file; print(fetched_file('hf://{NAME}'))"
        ranks = []
        for _ in range(2):
            rank = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
            ranks.append(rank)
        paths = {rank.communicate(timeout=300)[0] for rank in ranks}
        assert len(paths) == 1 and [rank.returncode for rank in ranks] == [0, 0]
        gets = [path for path in hub.asked("GET") if path.endswith("model.safetensors")]
        assert len(gets) == 1
