"""References to the hub in the options of a run, fetched at its start and pinned to commits."""

from collections.abc import Iterator
from typing import Any

from wxr_plugin.hub import fetched_file, pinned, read_reference, reference_of
from wxr_plugin.hub.references import SCHEME

_FILES = ("pretrain_network", "prompts_path", "weights")
"""Beginnings of keys whose value is a file, also where the reference names none."""


def fetch_references(options: Any) -> dict[str, str]:
    """Fetch what options refer to on the hub, and return value -> value with the commit.

    Of a model with a folder (raters, CLIPs) only the commit is looked up: the model fetches it when
    it is loaded, in the process that uses it.

    Raises:
        WxrError: a reference has another form, or cannot be fetched.
    """
    pins: dict[str, str] = {}
    for key, value in _references(options):
        before, _, rest = value.partition(SCHEME)
        pins[value] = before + _pinned(key, SCHEME + rest)
    return pins


def replace_references(options: Any, pins: dict[str, str]) -> Any:
    """Return a copy of options in which the references of `fetch_references` have commits."""
    if isinstance(options, dict):
        # Of the same class, because BasicSR passes ordered dicts.
        return type(options)((key, replace_references(item, pins)) for key, item in options.items())
    if isinstance(options, list):
        return [replace_references(item, pins) for item in options]
    return pins.get(options, options) if isinstance(options, str) else options


def _pinned(key: str, place: str) -> str:
    is_file = key.startswith(_FILES) or read_reference(place).file
    if not is_file:
        return str(pinned(place))
    reference = reference_of(fetched_file(place))
    return str(reference or pinned(place))


def _references(options: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the last key and the value of every text that is a reference.

    One may follow the architecture of a CLIP: ViT-B-32:hf://OWNER/NAME/FILE.
    """
    if isinstance(options, dict):
        for name, item in options.items():
            yield from _references(item, str(name))
    elif isinstance(options, list):
        for item in options:
            yield from _references(item, key)
    elif isinstance(options, str):
        before, scheme, _ = options.partition(SCHEME)
        if scheme and (not before or before.endswith(":")):
            yield key, options
