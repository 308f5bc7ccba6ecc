"""Models by name, fetched ahead into the caches that are read at run time."""

from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import yaml

from wxr_plugin.errors import WxrError
from wxr_plugin.hub import fetched_file, fetched_folder, is_reference, read_reference
from wxr_plugin.vlm.catalog import find_model, nearest, read_data

_DEPTH = resources.files(__package__) / "depth_models.yml"
_WHOLE = {
    "qalign": "q-future/one-align",
    "qalign_8bit": "q-future/one-align",
    "qalign_4bit": "q-future/one-align",
}
"""Metrics whose network is a model of the hub, which need not be built in order to be fetched."""


class Prefetch(NamedTuple):
    """A model that can be fetched."""

    name: str
    source: str
    """Hub id, or the library that knows the addresses of its files."""
    cache: str
    """Cache that it is fetched into, for the user."""
    fetch: Callable[[], object]
    """Fetches it if it is not cached.

    Raises WxrError if that fails.
    """


def find_prefetch(name: str) -> Prefetch:
    """Return the model `name`: of a rater, describer, rewriter, depth guide, CLIP or metric.

    Args:
        name: name of `models.yml` or `depth_models.yml`, metric of pyiqa (musiq, lpips, …),
            ARCHITECTURE:TAG or hf-hub:OWNER/NAME of open_clip, hub id (OWNER/NAME), or reference to
            the hub: hf://OWNER/NAME is a model with its configuration, hf://OWNER/NAME/FILE a file.

    Raises:
        WxrError: there is no such model, or it is packaged; the message has the nearest names.
    """
    depth = yaml.safe_load(_DEPTH.read_text(encoding="utf-8"))
    models = read_data("models.yml")
    if name == "tiny" or Path(name).is_dir():
        raise WxrError(f"{name}: is on this machine already, there is nothing to fetch")
    if is_reference(name):
        fetch = fetched_file if read_reference(name).file else fetched_folder
        return Prefetch(name, name, _hub_cache(), partial(fetch, name))
    if ":" in name:
        return Prefetch(name, "open_clip", _hub_cache(), partial(_fetch_clip, name))
    if name in depth:
        return _of_hub(name, depth[name])
    if name in models or "/" in name:
        return _of_hub(name, find_model(name).model)
    metrics = _metric_names()
    if name in _WHOLE and name in metrics:
        return _of_hub(name, _WHOLE[name])
    if name in metrics:
        return Prefetch(name, "pyiqa", _pyiqa_cache(), partial(_fetch_metric, name))
    names = [row[0] for row in list_prefetches()]
    raise WxrError(f"unknown model {name!r}; {nearest(name, names)}; `wxr models list` lists all")


def list_prefetches() -> list[tuple[str, str, str]]:
    """Return name, source and use of every model that can be fetched by a name."""
    models = {name: entry["model"] for name, entry in read_data("models.yml").items()}
    depth = yaml.safe_load(_DEPTH.read_text(encoding="utf-8"))
    metrics = {name: _WHOLE.get(name, "pyiqa") for name in _metric_names()}
    uses = {"vision-language or language model": models, "depth encoder": depth, "metric": metrics}
    rows = []
    for use, sources in uses.items():
        rows += [(name, source, use) for name, source in sources.items()]
    # Packaged models need not be fetched.
    return [row for row in rows if not row[1].startswith("assets/")]


def _of_hub(name: str, model: str) -> Prefetch:
    from wxr_plugin.vlm.fetch import local_folder

    return Prefetch(name, model, _hub_cache(), partial(local_folder, model))


def _fetch_clip(name: str) -> None:
    """Load a CLIP on the CPU, which fetches its weights and its tokenizer's files."""
    from wxr_plugin.conditioning.clip import build_clip

    build_clip(name)


def _fetch_metric(name: str) -> None:
    """Create a metric on the CPU, which fetches its weights and those of its backbones."""
    import torch

    from wxr_plugin.vlm.pyiqa_metrics import load_metric

    load_metric(name, None, torch.device("cpu"))
    load_metric.cache_clear()  # the next one gets its memory


def _metric_names() -> list[str]:
    """Return the names of pyiqa's metrics; those that this package rates with, without pyiqa."""
    try:
        from pyiqa.default_model_configs import DEFAULT_CONFIGS
    except ImportError:
        return list(read_data("metrics.yml")["metrics"])
    return list(DEFAULT_CONFIGS)


def _hub_cache() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return str(HF_HUB_CACHE)


def _pyiqa_cache() -> str:
    from torch.hub import get_dir

    return f"{get_dir()}, {_hub_cache()}"
