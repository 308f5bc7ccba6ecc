"""Reading option files as data: a YAML loader that never runs code, and `a:b=value` overrides."""

import difflib
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

MOST_NODES = 100_000
"""Values and keys that a file may have once its aliases are written out, unless it has as many without aliases."""
EXPONENT_FLOAT = re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+$")


class DuplicateKeyWarning(UserWarning):
    """A key stands twice in one mapping; whoever checks the file reports it as a problem instead."""


class OptionLoader(yaml.SafeLoader):
    """PyYAML's safe loader, strict on tags and aliases, with `2e-4` a float as in YAML 1.2."""

    def compose_document(self) -> yaml.Node:
        """Refuse aliases to themselves, and files that aliases make too large, before anything walks them."""
        try:
            root = super().compose_document()
        except RecursionError:
            raise yaml.composer.ComposerError(
                None, None, "nested too deeply", self.get_mark()
            ) from None
        sizes: dict[int, int | None] = {}
        size = _expanded_size(root, sizes)
        if size > max(MOST_NODES, len(sizes)):
            problem = f"aliases make {size:.3g} values of it, more than {MOST_NODES:,}; write out what you need"
            raise yaml.composer.ComposerError(None, None, problem, root.start_mark)
        return root

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
        scalar_keys = [
            key for key, _ in node.value if isinstance(key, yaml.ScalarNode)
        ]  # others are refused below
        for key in scalar_keys:
            if key.value in seen and key.value not in ("<<", "define"):
                where = f"{key.start_mark.name}, line {key.start_mark.line + 1}"
                what = f"{where}: the key {key.value!r} is given twice; the last one counts"
                warnings.warn(what, DuplicateKeyWarning, stacklevel=2)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


OptionLoader.add_constructor(None, OptionLoader.construct_undefined)
OptionLoader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT_FLOAT, list("-+0123456789."))


def _expanded_size(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Return the number of nodes below and with `node`, aliases written out.

    `sizes` has those of the nodes seen before, by id, and None for a node that is being counted.
    """
    if id(node) in sizes:
        if sizes[id(node)] is None:
            problem = "an alias refers to the block that it is part of; write out what you need"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return sizes[id(node)]
    sizes[id(node)] = None
    children = [] if isinstance(node, yaml.ScalarNode) else node.value
    pairs = isinstance(node, yaml.MappingNode)
    flat = [child for pair in children for child in pair] if pairs else children
    sizes[id(node)] = size = 1 + sum(_expanded_size(child, sizes) for child in flat)
    return size


def parse(text: str) -> Any:
    """Value of YAML `text`, mappings as dicts in the order written.

    Raises:
        yaml.YAMLError: not YAML, a tag beyond plain YAML, an alias to itself, or aliases that
        multiply (MOST_NODES);
            the message names line and column.
    """
    return yaml.load(text, Loader=OptionLoader)  # a SafeLoader


def load(source: str | os.PathLike) -> Any:
    """Value of a YAML file, or of YAML text.

    A path object, a one-line string that ends in .yml or .yaml, and a string that names a file are
    read as files; any other string is the text itself.

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

    A value is read as YAML (`[1, 2]`, `true`, `~`; `none` is null too), or as plain text where it
    is not YAML. A key must be there already; `+train:new_key=1` adds one.

    Raises:
        ValueError: an entry without `=`, a key that is not there (the nearest one is named), or a
            refused tag.
    """
    for entry in entries:
        keys, separator, value = entry.partition("=")
        path = [key.strip() for key in keys.strip().removeprefix("+").split(":")]
        if not separator or not all(path):
            raise ValueError(f"--force_yml {entry!r} is not of the form key:key=value")
        _assign(
            options, path, _value(value.strip(), entry), entry, adding=keys.strip().startswith("+")
        )


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
            raise ValueError(
                f"--force_yml {entry!r}: {':'.join(path[:depth])} has no keys, it is {target!r}"
            )
        if key not in target and not (last and adding):
            raise ValueError(_unknown(target, path[: depth + 1], entry))
        if last:
            target[key] = value
        else:
            target = target[key]


def _unknown(target: dict, path: list[str], entry: str) -> str:
    names = [str(name) for name in target]
    near = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.5)
    hint = (
        f"did you mean {':'.join([*path[:-1], near[0]])}?"
        if near
        else f"known there: {', '.join(names)}."
    )
    return (
        f"--force_yml {entry!r}: the option file has no {':'.join(path)}; {hint} "
        f"A key that is not in the file yet is added with a plus: '+{entry}'"
    )
