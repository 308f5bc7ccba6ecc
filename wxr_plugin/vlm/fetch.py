"""Where the files of a vision-language model are, and what identifies them."""

import hashlib
from pathlib import Path

from wxr_plugin.errors import WxrError

_KEPT = ("*.json", "*.jinja", "*.model", "*.txt")
_WEIGHTS = ("*.safetensors", "*.bin")


def local_folder(model: str, revision: str | None = None) -> Path:
    """The folder that holds `model`: itself when it is one, else the hub's snapshot, downloaded when it is not cached.

    Raises:
        WxrError: the hub cannot be reached or does not have the model, and no copy is cached.
    """
    if Path(model).is_dir():
        if revision:
            raise WxrError(
                f"revision '{revision}' given for the folder {model}; only a hub id has one"
            )
        return Path(model)
    return _snapshot(model, revision)


def identity(folder: Path) -> str:
    """What tells a model's files from others: "commit:…" of a hub snapshot, "sha256:…" of a folder's contents."""
    if folder.parent.name == "snapshots":
        return f"commit:{folder.name}"
    digest = hashlib.sha256()
    for file in sorted(file for pattern in (*_KEPT, *_WEIGHTS) for file in folder.glob(pattern)):
        with file.open("rb") as opened:
            digest.update(
                f"{file.name}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode()
            )
    return f"sha256:{digest.hexdigest()}"


def _snapshot(model: str, revision: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    # The hub is asked once, briefly, because transformers itself retries every file for minutes
    # without a network. The class of a network error depends on the HTTP library that
    # huggingface_hub was built on, hence the broad except.
    try:
        files = [
            file.rfilename
            for file in HfApi().model_info(model, revision=revision, timeout=10).siblings
        ]
        weights = (
            _WEIGHTS[0] if any(name.endswith(".safetensors") for name in files) else _WEIGHTS[1]
        )
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*_KEPT, weights]))
    except Exception as error:
        try:
            return Path(snapshot_download(model, revision=revision, local_files_only=True))
        except (OSError, ValueError):
            reason = (
                str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            )
            at = f" at revision '{revision}'" if revision else ""
            raise WxrError(
                f"cannot get the model '{model}'{at}: it is not a folder here, not cached, and the "
                f"hub answered "
                f"'{reason}'; download it on a machine with a network and give its folder, or use "
                f"'tiny'"
            ) from error
