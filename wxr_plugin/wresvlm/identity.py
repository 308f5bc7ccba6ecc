"""Digests of the weights of named models, taken without loading a model or asking a hub."""

from pathlib import Path
from typing import Any

import yaml

from wxr_plugin.conditioning.clip import TINY as TINY_CLIP
from wxr_plugin.errors import WxrError
from wxr_plugin.hub import is_reference, read_reference, snapshot
from wxr_plugin.vlm.catalog import find_model
from wxr_plugin.wresvlm.digests import FileDigests

PACKAGE = Path(__file__).parents[1]
DEPTH_MODELS = PACKAGE / "conditioning" / "depth_models.yml"
KINDS = ("*.json", "*.jinja", "*.model", "*.txt", "*.safetensors", "*.bin", "*.gz")
"""Files of a model's folder that count."""


def weights(key: str, name: Any, digests: FileDigests, depth: bool = False) -> str | None:
    """Return a digest of the weights called `name`; None where they are not on this machine yet.

    Args:
        key: `model` or `clip`, the option that `name` is the value of.
        name: value of the option.
        digests: digests of files that were read before.
        depth: the model estimates depth.
    """
    if not isinstance(name, str):
        return None
    find = _vlm
    if key == "clip":
        find = _clip
    elif depth:
        find = _depth
    place = find(name)
    if place is None:
        return None
    # In the hub's cache, a snapshot's folder has the name of its commit.
    if place.parent.name == "snapshots":
        return f"commit {place.name[:12]}"
    if place.is_dir():
        files = (file for pattern in KINDS for file in place.glob(pattern))
        return digests.files(place, files)
    return digests.path(place)


def _vlm(name: str) -> Path | None:
    try:
        return _local(find_model(name).model)
    except WxrError:  # the stage itself reports a wrong name
        return None


def _depth(name: str) -> Path | None:
    text = DEPTH_MODELS.read_text(encoding="utf-8")
    sources = yaml.safe_load(text)
    source = sources.get(name, name)
    if source.startswith("assets/"):
        return _local(str(PACKAGE / source))
    return _local(source)


def _clip(name: str) -> Path | None:
    if is_reference(name):
        return _local(name)
    architecture, _, place = name.partition(":")
    if architecture == "tiny":
        return TINY_CLIP
    if architecture == "hf-hub":
        return _local(place)
    if not place:
        return None
    path = Path(place)
    return path if path.exists() else None


def _local(model: str) -> Path | None:
    """Return a local folder, or the cached snapshot of a model on the hub; None without any."""
    if is_reference(model):
        return snapshot(read_reference(model))
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError):
        return None
