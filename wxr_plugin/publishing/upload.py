"""Upload of a folder to the Hugging Face hub, in one commit."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wxr_plugin.errors import WxrError
from wxr_plugin.hub.bars import hub_bars
from wxr_plugin.hub.failures import UnreachableError, endpoint, errors_as_lines
from wxr_plugin.hub.references import SCHEME, Reference, is_reference, read_reference
from wxr_plugin.utils.offline import is_offline
from wxr_plugin.utils.verbosity import is_quiet

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MESSAGE = "Upload with wxr_plugin"


class Upload(NamedTuple):
    """Where a folder goes to, and how."""

    repo: str
    revision: str | None = None
    """Branch, which is created if there is none; None: main."""
    private: bool | None = None
    """Whether a new repository is private; None: as the account says."""
    token: str | None = None
    """None: that of `hf auth login` or HF_TOKEN."""
    message: str = MESSAGE


def checked_repo(name: str) -> str:
    """Return OWNER/NAME of a repository that may also be written hf://OWNER/NAME.

    Raises:
        WxrError: it is neither, or has a revision or a file.
    """
    place = name if is_reference(name) else f"{SCHEME}{name}"
    try:
        reference = read_reference(place)
    except WxrError:
        raise WxrError(f"{name}: not a repository of the hub; write OWNER/NAME") from None
    if reference.file or reference.revision:
        raise WxrError(f"{name}: write OWNER/NAME alone; --revision names a branch")
    return reference.repo


def push_folder(
    folder: Path, upload: Upload, may_replace: Callable[[Sequence[str]], bool]
) -> Reference:
    """Send all files of a folder in one commit, and return the reference to it.

    Args:
        folder: its files become those of the repository; others in it stay.
        upload: repository and settings.
        may_replace: asked with the names of files that are there already, before anything is sent.

    Raises:
        WxrError: files must not be replaced, or the hub cannot be reached or refuses; then the
            repository is as it was.
    """
    reference = Reference(upload.repo, upload.revision)
    if is_offline():
        raise WxrError(f"{reference}: offline; leave out --offline and HF_HUB_OFFLINE to push")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint(), token=upload.token)
    replaced = sorted(set(names) & set(_existing(api, reference)))
    if replaced and not may_replace(replaced):
        raise WxrError(f"{reference}: not pushed, its files are as they were")
    commit = _commit(api, upload, reference, dict(zip(names, files)))
    return reference._replace(revision=commit)


def _existing(api: "HfApi", reference: Reference) -> list[str]:
    """Return the files of a branch; none if there is no such repository or branch."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    with errors_as_lines(reference, "pushed"):
        try:
            info = api.model_info(reference.repo, revision=reference.revision, timeout=10)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return []
        return [file.rfilename for file in info.siblings or ()]


def _commit(api: "HfApi", upload: Upload, reference: Reference, files: dict[str, Path]) -> str:
    from huggingface_hub import CommitOperationAdd

    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    try:
        with errors_as_lines(reference, "pushed"), hub_bars(not is_quiet()):
            api.create_repo(upload.repo, private=upload.private, exist_ok=True)
            if upload.revision and upload.revision != "main":
                api.create_branch(upload.repo, branch=upload.revision, exist_ok=True)
            info = api.create_commit(
                upload.repo, operations, commit_message=upload.message, revision=upload.revision
            )
            return info.oid
    except UnreachableError as error:
        # One commit has all files, so that an upload that was cut has none.
        raise WxrError(f"{error}; nothing of it is on the hub") from error
