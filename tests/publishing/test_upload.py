"""Upload to a hub: one commit, questions before it, and every refusal as one line."""

import pytest
from hub_toys import NAME, go_offline, log_in

from wxr_plugin.errors import WxrError
from wxr_plugin.publishing.upload import Upload, checked_repo, push_folder

BODY = b"weights"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    (folder / "pictures").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nA card.\n")
    (folder / "model.safetensors").write_bytes(BODY)
    (folder / "pictures" / "a.jpg").write_bytes(b"picture")
    return folder


def yes(names):
    return True


def refused(folder, upload, may_replace=yes):
    """Return the one line with which a push is refused."""
    with pytest.raises(WxrError) as caught:
        push_folder(folder, upload, may_replace)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_new_repository_gets_all_files_in_one_commit(hub, folder, monkeypatch):
    log_in(monkeypatch)
    reference = push_folder(folder, Upload(NAME, private=True), yes)
    files = hub.files(NAME)
    assert files["model.safetensors"] == BODY and files["pictures/a.jpg"] == b"picture"
    assert hub.repos[NAME].private
    assert reference.is_pinned and reference.revision == hub.repos[NAME].branches["main"]
    # One for the creation, one for the files; the weights went through the large file storage.
    assert len(hub.repos[NAME].commits) == 2 and len(hub.objects) == 1


def test_a_branch_is_created(hub, folder, monkeypatch):
    log_in(monkeypatch)
    hub.add(NAME, {"old.txt": b"old"})
    push_folder(folder, Upload(NAME, "v2"), yes)
    assert hub.files(NAME) == {"old.txt": b"old"}
    assert set(hub.files(NAME, "v2")) == {"old.txt", *_names(folder)}


def _names(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in paths}


def test_files_are_replaced_only_with_consent(hub, folder, monkeypatch):
    log_in(monkeypatch)
    before = {"model.safetensors": b"old", "other.txt": b"other"}
    hub.add(NAME, before)
    asked = []
    text = refused(folder, Upload(NAME), lambda names: asked.append(list(names)))
    assert asked == [["model.safetensors"]] and "its files are as they were" in text
    assert hub.files(NAME) == before and hub.asked("POST") == []
    push_folder(folder, Upload(NAME), yes)
    assert hub.files(NAME)["model.safetensors"] == BODY
    assert hub.files(NAME)["other.txt"] == b"other"


def test_without_a_token_the_line_says_how_to_log_in(hub, folder):
    assert "`hf auth login`, or set HF_TOKEN" in refused(folder, Upload(NAME))
    assert hub.repos == {}


def test_a_token_can_be_given(hub, folder):
    from hub_server import TOKEN

    push_folder(folder, Upload(NAME, token=TOKEN), yes)
    assert hub.files(NAME)["model.safetensors"] == BODY


def test_a_missing_right_leaves_the_repository_as_it_was(hub, folder, monkeypatch):
    log_in(monkeypatch)
    hub.add(NAME, {"old.txt": b"old"})
    hub.refuse_commits = True
    assert "refuses it (403)" in refused(folder, Upload(NAME))
    assert hub.files(NAME) == {"old.txt": b"old"}


def test_a_login_page_is_recognised(hub, folder, monkeypatch):
    log_in(monkeypatch)
    hub.page = True
    assert "is it a login page or a proxy?" in refused(folder, Upload(NAME))


def test_metadata_that_the_hub_refuses_are_one_line(hub, folder, monkeypatch):
    log_in(monkeypatch)
    (folder / "README.md").write_text("---\nnonsense\n---\n")
    text = refused(folder, Upload(NAME))
    assert "cannot be pushed: Invalid metadata in README.md. - no block of keys" in text


def test_offline_nothing_is_pushed(hub, folder, monkeypatch):
    go_offline(monkeypatch)
    assert "leave out --offline and HF_HUB_OFFLINE to push" in refused(folder, Upload(NAME))
    assert hub.requests == []


@pytest.mark.parametrize("name", ["rain", "me/rain/file", "me/rain@v1", "", "hf://me/rain/x.pth"])
def test_a_repository_has_an_owner_and_a_name(name):
    with pytest.raises(WxrError, match="write OWNER/NAME"):
        checked_repo(name)


def test_a_repository_may_be_a_reference():
    assert checked_repo("me/rain") == checked_repo("hf://me/rain") == "me/rain"
