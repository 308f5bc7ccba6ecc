"""Reading option files as data: a YAML loader that never runs code, and `a:b=value` overrides."""

import difflib
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

EXPONENT_FLOAT = re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+$")


class DuplicateKeyWarning(UserWarning):
    """A key stands twice in one mapping; whoever checks the file reports it as a problem instead."""


class OptionLoader(yaml.SafeLoader):
    """PyYAML's safe loader, strict on tags, with `2e-4` a float as in YAML 1.2."""

    def construct_undefined(self, node: yaml.Node) -> Any:
        """Refuse a tag that is not plain YAML, such as `!!python/name:os.system`."""
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        problem = f"the tag {tag} is refused, since an option file is data and never runs code; write plain YAML"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Warn of a key that stands twice in one mapping, of which YAML keeps the last, as BasicSR does.

        `define` may repeat: files of BasicSR's family use it only to carry anchors.
        """
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.value not in ("<<", "define"):
                where = f"{key.start_mark.name}, line {key.start_mark.line + 1}"
                what = f"{where}: the key {key.value!r} is given twice; the last one counts"
                warnings.warn(what, DuplicateKeyWarning, stacklevel=2)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


OptionLoader.add_constructor(None, OptionLoader.construct_undefined)
OptionLoader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT_FLOAT, list("-+0123456789."))


def parse(text: str) -> Any:
    """Value of YAML `text`, mappings as dicts in the order written.

    Raises:
        yaml.YAMLError: not YAML, or a tag beyond plain YAML; the message names line and column.
    """
    return yaml.load(text, Loader=OptionLoader)  # a SafeLoader


def load(source: str | os.PathLike) -> Any:
    """Value of a YAML file, or of YAML text.

    A path object, a one-line string that ends in .yml or .yaml, and a string that names a file are read as files; any
    other string is the text itself.

    Raises:
        FileNotFoundError: there is no such file.
        yaml.YAMLError: as for `parse`; the message names the file.
    """
    if isinstance(source, str) and not _names_file(source):
        return parse(source)
    with Path(source).open(encoding="utf-8") as file:
        return yaml.load(file, Loader=OptionLoader)


def override(options: dict, entries: Iterable[str]) -> None:
    """Change `options` in place by BasicSR's `--force_yml` entries: `train:optim_g:lr=1e-4`.

    A value is read as YAML (`[1, 2]`, `true`, `~`; `none` is null too), or as plain text where it is not YAML. A key
    must be there already; `+train:new_key=1` adds one.

    Raises:
        ValueError: an entry without `=`, a key that is not there (the nearest one is named), or a refused tag.
    """
    for entry in entries:
        keys, separator, value = entry.partition("=")
        path = [key.strip() for key in keys.strip().removeprefix("+").split(":")]
        if not separator or not all(path):
            raise ValueError(f"--force_yml {entry!r} is not of the form key:key=value")
        _assign(options, path, _value(value.strip(), entry), entry, adding=keys.strip().startswith("+"))


def _names_file(text: str) -> bool:
    return "\n" not in text and (text.endswith((".yml", ".yaml")) or Path(text).is_file())


def _value(text: str, entry: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return parse(text)
    except yaml.constructor.ConstructorError as error:
        raise ValueError(f"--force_yml {entry!r}: {error.problem}") from error
    except yaml.YAMLError:  # a template such as {}_lq is no YAML, yet a fair value
        return text


def _assign(options: dict, path: list[str], value: Any, entry: str, adding: bool) -> None:
    target = options
    for depth, key in enumerate(path):
        last = depth == len(path) - 1
        if not isinstance(target, dict):
            raise ValueError(f"--force_yml {entry!r}: {':'.join(path[:depth])} has no keys, it is {target!r}")
        if key not in target and not (last and adding):
            raise ValueError(_unknown(target, path[: depth + 1], entry))
        if last:
            target[key] = value
        else:
            target = target[key]


def _unknown(target: dict, path: list[str], entry: str) -> str:
    names = [str(name) for name in target]
    near = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.5)
    hint = f"did you mean {':'.join([*path[:-1], near[0]])}?" if near else f"known there: {', '.join(names)}."
    return (
        f"--force_yml {entry!r}: the option file has no {':'.join(path)}; {hint} "
        f"A key that is not in the file yet is added with a plus: '+{entry}'"
    )
