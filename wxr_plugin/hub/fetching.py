"""Local files of references to the hub, fetched into the cache of huggingface_hub."""

from functools import cache
from os import PathLike
from pathlib import Path

from wxr_plugin.errors import WxrError
from wxr_plugin.hub.references import Reference, is_reference, read_reference
from wxr_plugin.hub.repository import Repository


def fetched_file(place: str | PathLike) -> Path:
    """Return the local file of a reference to the hub, or `place` as a path with ~ expanded.

    It is fetched unless it is cached, which is reported with commit, size and licence. Where the
    reference names no file, the repository must have one file of weights. The hub is asked once in
    a process, and never for a commit that is cached.

    Raises:
        WxrError: there is no such file, or it cannot be fetched; one line says what to do.
    """
    if not is_reference(place):
        return Path(place).expanduser()
    reference = read_reference(place)
    return _repository(reference.repo, reference.revision).file(reference.file)


def fetched_folder(place: str | PathLike) -> Path:
    """Return the folder with the files of a model on the hub: weights, configuration, tokenizer.

    Raises:
        WxrError: as `fetched_file`, or the reference names a file.
    """
    reference = read_reference(place)
    if reference.file:
        raise WxrError(f"{reference}: such a model is a whole repository; leave out the file")
    return _repository(reference.repo, reference.revision).folder()


def cached_file(place: str | PathLike) -> Path | None:
    """Return the local file of a reference, or None if it is not cached; the hub is not asked.

    A `place` that is no reference is returned as a path.
    """
    if not is_reference(place):
        return Path(place).expanduser()
    reference = read_reference(place)
    return _repository(reference.repo, reference.revision).cached_file(reference.file)


def pinned(place: str | PathLike) -> Reference:
    """Return a reference with the commit that its revision is now.

    Raises:
        WxrError: there is no such repository or revision, or the hub cannot be asked and has
            never been.
    """
    reference = read_reference(place)
    if reference.is_pinned:
        return reference
    commit = _repository(reference.repo, reference.revision).commit()
    return reference._replace(revision=commit)


@cache
def _repository(repo: str, revision: str | None) -> "Repository":
    return Repository(Reference(repo, revision))
