"""Files of a vision-language model: location, download and identity."""

import hashlib
from pathlib import Path

from wxr_plugin.errors import WxrError
from wxr_plugin.hub import fetched_folder, is_reference, read_reference

_CONFIGS = ("*.json", "*.jinja", "*.model", "*.txt")
_WEIGHTS = ("*.safetensors", "*.bin")


def local_folder(model: str, revision: str | None = None) -> Path:
    """Return the folder of `model`, a folder, a hub id or a reference to the hub.

    A model on the hub is downloaded if necessary.

    Raises:
        WxrError: the hub cannot be reached or does not have the model, and no copy is cached.
    """
    if Path(model).is_dir():
        if revision:
            raise WxrError(
                f"revision '{revision}' given for the folder {model}; only a hub id has one"
            )
        return Path(model)
    if not is_reference(model):
        return _snapshot(model, revision)
    reference = read_reference(model)
    if revision and reference.revision:
        raise WxrError(f"{model} names a revision, and so does revision: {revision}; keep one")
    if revision:
        reference = reference._replace(revision=revision)
    return fetched_folder(str(reference))


def identity(folder: Path) -> str:
    """Return "commit:…" for a snapshot of the hub, else "sha256:…" of the files in the folder."""
    # The cache of huggingface_hub: models--OWNER--NAME/snapshots/COMMIT.
    if folder.parent.name == "snapshots":
        return f"commit:{folder.name}"
    files: list[Path] = []
    for pattern in (*_CONFIGS, *_WEIGHTS):
        files += folder.glob(pattern)
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            contents = hashlib.file_digest(file, "sha256").hexdigest()
        line = f"{path.name}\0{contents}\n"
        digest.update(line.encode())
    return f"sha256:{digest.hexdigest()}"


def portable_name(model: str) -> str:
    """Return a hub id unchanged, and a folder without its parents, for the provenance."""
    return Path(model).name if Path(model).is_dir() else model


def _snapshot(model: str, revision: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    # The hub is asked once with a short time-out, since transformers would retry every file for
    # minutes without a network. The class of a network error depends on the HTTP library of
    # huggingface_hub, hence the broad except.
    try:
        info = HfApi().model_info(model, revision=revision, timeout=10)
        names = [file.rfilename for file in info.siblings]
        has_safetensors = any(name.endswith(".safetensors") for name in names)
        weights = _WEIGHTS[0] if has_safetensors else _WEIGHTS[1]
        return Path(
            snapshot_download(model, revision=revision, allow_patterns=[*_CONFIGS, weights])
        )
    except Exception as error:
        try:
            return Path(snapshot_download(model, revision=revision, local_files_only=True))
        except (OSError, ValueError):
            at = f" at revision '{revision}'" if revision else ""
            raise WxrError(
                f"cannot get the model '{model}'{at}: it is not a folder here, not cached, and the "
                f"hub answered '{first_line(error)}'; download it on a machine with a network and "
                "give its folder, or use 'tiny'"
            ) from error


def first_line(error: BaseException) -> str:
    """Return the first line of the message of `error`, or the name of its class if it is empty."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
