"""Download of what references to the hub name, into the cache of huggingface_hub."""

import logging
import os
import sys
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.errors import WxrError
from wxr_plugin.hub.choosing import check_listed, model_files, only_weights
from wxr_plugin.hub.failures import UnreachableError, endpoint, errors_as_lines
from wxr_plugin.hub.references import Reference, is_reference, read_reference
from wxr_plugin.utils.disk import check_room, readable
from wxr_plugin.utils.offline import is_offline
from wxr_plugin.utils.verbosity import is_quiet

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

TIMEOUT = 10
"""Seconds to wait for the first answer of the hub."""
_LOG = logging.getLogger("basicsr")


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
    return _fetched_file(read_reference(place))


def fetched_folder(place: str | PathLike) -> Path:
    """Return the folder with the files of a model on the hub: weights, configuration, tokenizer.

    Raises:
        WxrError: as `fetched_file`, or the reference names a file.
    """
    reference = read_reference(place)
    if reference.file:
        raise WxrError(f"{reference}: such a model is a whole repository; leave out the file")
    return _fetched_folder(reference)


def cached_file(place: str | PathLike) -> Path | None:
    """Return the local file of a reference, or None if it is not cached; the hub is not asked.

    A `place` that is no reference is returned as a path.
    """
    if not is_reference(place):
        return Path(place).expanduser()
    reference = read_reference(place)
    folder = snapshot(reference)
    if folder is None:
        return None
    try:
        path = folder / (reference.file or only_weights(_names(folder), reference))
    except WxrError:
        return None
    return path if path.is_file() else None


def pinned(place: str | PathLike) -> Reference:
    """Return a reference with the commit that its revision is now.

    Raises:
        WxrError: there is no such repository or revision, or the hub cannot be asked and has
            never been.
    """
    reference = read_reference(place)
    if reference.is_pinned:
        return reference
    return reference._replace(revision=_commit(reference))


def snapshot(reference: Reference) -> Path | None:
    """Return the folder of a revision in the cache of huggingface_hub, or None."""
    from huggingface_hub.constants import HF_HUB_CACHE

    root = Path(HF_HUB_CACHE) / f"models--{reference.repo.replace('/', '--')}"
    revision = reference.revision or "main"
    ref = root / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    folder = root / "snapshots" / commit
    return folder if folder.is_dir() else None


def reference_of(path: Path) -> Reference | None:
    """Return the pinned reference of a file or folder in the cache; None if it is elsewhere."""
    parts = path.parts
    for index, part in enumerate(parts[1:-1], 1):
        name = parts[index - 1]
        if part == "snapshots" and name.startswith("models--"):
            repo = name.removeprefix("models--").replace("--", "/", 1)
            return Reference(repo, parts[index + 1], "/".join(parts[index + 2 :]) or None)
    return None


@cache
def _fetched_file(reference: Reference) -> Path:
    cached = cached_file(reference_text := str(reference))
    if cached and (reference.is_pinned or is_offline()):
        return cached
    _refuse_offline(reference)
    try:
        info = _info(reference)
    except UnreachableError:
        if cached is None:
            raise
        _report(f"{reference_text}: the hub does not answer; taking {reference_of(cached)}")
        return cached
    names = _listed_files(info)
    check_listed(list(names), reference)
    chosen = reference._replace(file=reference.file or only_weights(list(names), reference))
    return _download(chosen, names, info)


@cache
def _fetched_folder(reference: Reference) -> Path:
    cached = snapshot(reference)
    is_complete = cached is not None and _has_weights(cached, reference)
    if is_complete and (reference.is_pinned or is_offline()):
        return cached  # type: ignore[return-value]
    _refuse_offline(reference)
    try:
        info = _info(reference)
    except UnreachableError:
        if not is_complete:
            raise
        _report(f"{reference}: the hub does not answer; taking {reference_of(cached)}")  # type: ignore[arg-type]
        return cached  # type: ignore[return-value]
    names = _listed_files(info)
    path = Path()
    for name in model_files(list(names), reference):
        path = _download(reference._replace(file=name), names, info)
    return path.parent


@cache
def _commit(reference: Reference) -> str:
    folder = snapshot(reference)
    if folder and is_offline():
        return folder.name
    _refuse_offline(reference)
    try:
        return str(_info(reference).sha)
    except UnreachableError:
        if folder is None:
            raise
        return folder.name


def _download(reference: Reference, sizes: dict[str, int | None], info: "ModelInfo") -> Path:
    """Fetch one file, and report it unless it was cached."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import HF_HUB_CACHE

    file = str(reference.file)
    folder = snapshot(reference._replace(revision=info.sha))
    is_new = folder is None or not (folder / file).is_file()
    with errors_as_lines(reference):
        if is_new:
            Path(HF_HUB_CACHE).mkdir(parents=True, exist_ok=True)
            check_room(Path(HF_HUB_CACHE), sizes.get(file), str(reference))
        path = hf_hub_download(
            reference.repo, file, revision=reference.revision, endpoint=endpoint()
        )
    local = Path(path)
    if is_new:
        size = readable(local.stat().st_size)
        _report(f"fetched {reference_of(local)}: {size}, licence {licence(info)}")
    return local


def licence(info: "ModelInfo") -> str:
    """Return the licence that the card of a repository states."""
    card = info.card_data.to_dict() if info.card_data else {}
    name = card.get("license_name") or card.get("license")
    if isinstance(name, list):
        return ", ".join(map(str, name))
    return str(name) if name else "not stated (ask its authors)"


def _info(reference: Reference) -> "ModelInfo":
    with errors_as_lines(reference):
        info = _api().model_info(
            reference.repo,
            revision=reference.revision,
            timeout=TIMEOUT,
            files_metadata=True,
        )
        if not info.sha:
            raise ValueError("an answer without a commit")
        return info


def _api() -> "HfApi":
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint())


def _listed_files(info: Any) -> dict[str, int | None]:
    """Return path in the repository -> size in bytes."""
    return {file.rfilename: file.size for file in info.siblings or ()}


def _names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files]


def _has_weights(folder: Path, reference: Reference) -> bool:
    """Return whether a snapshot has weights, which are fetched last."""
    try:
        return bool(model_files(_names(folder), reference))
    except WxrError:
        return False


def _refuse_offline(reference: Reference) -> None:
    if is_offline():
        raise WxrError(
            f"{reference}: offline, and not cached here; fetch it once with `wxr models get "
            f"{reference}`, without --offline and HF_HUB_OFFLINE"
        )


def _report(line: str) -> None:
    """Log a line, or print it to stderr before there is a log; on rank 0 alone."""
    if int(os.environ.get("RANK") or 0):
        return
    if _LOG.handlers:
        _LOG.info(line)
    elif not is_quiet():
        print(line, file=sys.stderr)
