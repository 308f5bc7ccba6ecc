"""A revision of a repository on the hub: what it has, and the download of its files."""

import logging
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wxr_plugin.errors import WxrError
from wxr_plugin.hub.bars import hub_bars
from wxr_plugin.hub.cache import has_model, names_in, reference_of, snapshot
from wxr_plugin.hub.choosing import check_listed, model_files, only_weights
from wxr_plugin.hub.failures import UnreachableError, endpoint, errors_as_lines
from wxr_plugin.hub.references import Reference
from wxr_plugin.utils.disk import check_room, readable
from wxr_plugin.utils.offline import is_offline
from wxr_plugin.utils.verbosity import is_quiet

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

TIMEOUT = 10
"""Seconds to wait for the first answer of the hub."""
_LOG = logging.getLogger("basicsr")


class Repository:
    """A revision of a repository, about which the hub is asked once.

    Args:
        reference: repository and revision.
    """

    def __init__(self, reference: Reference):
        self.reference = reference
        self._fetched: dict[str | None, Path] = {}
        self._folder: Path | None = None

    def file(self, name: str | None) -> Path:
        """Return the local path of a file, of the only weights for None; fetch it if necessary."""
        if name not in self._fetched:
            self._fetched[name] = self._file(name)
        return self._fetched[name]

    def folder(self) -> Path:
        """Return the local folder with the files of a model; fetch it if necessary."""
        if self._folder is None:
            self._folder = self._fetched_folder()
        return self._folder

    def _fetched_folder(self) -> Path:
        cached = snapshot(self.reference)
        has_weights = cached is not None and has_model(cached, self.reference)
        if cached and has_weights and self._suffices(cached):
            return cached
        path = Path()
        for name in model_files(list(self._sizes), self.reference):
            path = self._download(name)
        return path.parent

    def cached_file(self, name: str | None) -> Path | None:
        """Return the local path of a file, of the only weights for None; None if not cached."""
        folder = snapshot(self.reference)
        if folder is None:
            return None
        try:
            path = folder / (name or only_weights(names_in(folder), self.reference))
        except WxrError:
            return None
        return path if path.is_file() else None

    def commit(self) -> str:
        """Return the commit of the revision, as the hub or else the cache has it."""
        folder = snapshot(self.reference)
        if folder and self._suffices(folder):
            return folder.name
        return str(self._info.sha)

    def _file(self, name: str | None) -> Path:
        cached = self.cached_file(name)
        if cached and self._suffices(cached):
            return cached
        reference = self.reference._replace(file=name)
        _refuse_offline(reference)
        names = list(self._sizes)
        check_listed(names, reference)
        return self._download(name or only_weights(names, self.reference))

    def _suffices(self, cached: Path) -> bool:
        """Return whether a cached file or folder is what the hub has, or it cannot be asked."""
        if self.reference.is_pinned or is_offline():
            return True
        stored = reference_of(cached)
        try:
            return stored is not None and stored.revision == self._info.sha
        except UnreachableError:
            _report(f"{self.reference}: the hub does not answer; taking {stored}")
            return True

    @cached_property
    def _info(self) -> "ModelInfo":
        """What the hub says of the revision."""
        _refuse_offline(self.reference)
        with errors_as_lines(self.reference):
            from huggingface_hub import HfApi

            api = HfApi(endpoint=endpoint())
            repo, revision = self.reference.repo, self.reference.revision
            info = api.model_info(repo, revision=revision, timeout=TIMEOUT, files_metadata=True)
            if not info.sha:
                raise KeyError("sha")
            return info

    @property
    def _sizes(self) -> dict[str, int | None]:
        """Path in the repository -> size in bytes."""
        return {file.rfilename: file.size for file in self._info.siblings or ()}

    def _download(self, name: str) -> Path:
        """Fetch a file, and report it unless it was cached."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.constants import HF_HUB_CACHE

        reference = self.reference._replace(file=name)
        folder = snapshot(reference._replace(revision=self._info.sha))
        is_new = folder is None or not (folder / name).is_file()
        is_shown = is_new and not is_quiet()
        with errors_as_lines(reference), hub_bars(is_shown):
            if is_new:
                Path(HF_HUB_CACHE).mkdir(parents=True, exist_ok=True)
                check_room(Path(HF_HUB_CACHE), self._sizes[name], str(reference))
            path = Path(
                hf_hub_download(
                    reference.repo, name, revision=reference.revision, endpoint=endpoint()
                )
            )
        if is_new:
            size = readable(path.stat().st_size)
            _report(f"fetched {reference_of(path)}: {size}, licence {licence(self._info)}")
        return path


def licence(info: "ModelInfo") -> str:
    """Return the licence that the card of a repository states."""
    card = info.card_data.to_dict() if info.card_data else {}
    name = card.get("license_name") or card.get("license")
    if isinstance(name, list):
        return ", ".join(map(str, name))
    return str(name) if name else "not stated (ask its authors)"


def _refuse_offline(reference: Reference) -> None:
    if is_offline():
        raise WxrError(
            f"{reference}: offline, and not cached here; fetch it once with `wxr models get "
            f"{reference}`, without --offline and HF_HUB_OFFLINE"
        )


def _report(line: str) -> None:
    """Log a line in a training, and print it to stderr elsewhere; on rank 0 alone."""
    if int(os.environ.get("RANK") or 0):
        return
    if any(isinstance(handler, logging.FileHandler) for handler in _LOG.handlers):
        _LOG.info(line)
    elif not is_quiet():
        print(line, file=sys.stderr)
