"""Revisions of repositories in the cache of huggingface_hub."""

from pathlib import Path

from wxr_plugin.errors import WxrError
from wxr_plugin.hub.choosing import model_files
from wxr_plugin.hub.references import Reference


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


def names_in(folder: Path) -> list[str]:
    """Return the paths of the files below `folder`."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files]


def has_model(folder: Path, reference: Reference) -> bool:
    """Return whether a snapshot has weights, which are fetched last."""
    try:
        return bool(model_files(names_in(folder), reference))
    except WxrError:
        return False
