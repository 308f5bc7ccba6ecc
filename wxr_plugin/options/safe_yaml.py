"""Read option files as data: a YAML loader that never runs code, and `a:b=value` overrides."""

import difflib
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

MOST_NODES = 100_000
"""Largest number of values and keys of a file whose aliases are written out.

A file that has more without aliases is accepted.
"""
EXPONENT_FLOAT = re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+$")
"""`2e-4`, which YAML 1.1 and so PyYAML reads as a text."""


REPEATABLE = ("<<", "define")
"""Keys that may stand twice in a block. Files of BasicSR's family use `define` to hold anchors."""


class DuplicateKeyWarning(UserWarning):
    """A key stands twice in one mapping; a check of the file reports it as a problem instead."""


class OptionLoader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses tags and huge aliases, and reads `2e-4` as a float."""

    def compose_document(self) -> yaml.Node:
        """Refuse aliases to themselves, and files that aliases make too large."""
        try:
            root = super().compose_document()
        except RecursionError:
            mark = self.get_mark()
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark) from None
        sizes: dict[int, int | None] = {}
        size = _expanded_size(root, sizes)
        # len(sizes) counts the nodes as written, without the repetitions by aliases.
        limit = max(MOST_NODES, len(sizes))
        if size > limit:
            problem = f"aliases make {size:.3g} values of it, more than {MOST_NODES:,}; use fewer"
            raise yaml.composer.ComposerError(None, None, problem, root.start_mark)
        return root

    def construct_undefined(self, node: yaml.Node) -> Any:
        """Refuse a tag that is not plain YAML, such as `!!python/name:os.system`."""
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        problem = f"the tag {tag} is refused: reading never runs code; write plain YAML"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Warn of a key that stands twice in one mapping; the last one counts, as in BasicSR."""
        seen = set()
        for key, _ in node.value:
            # Keys that are not scalars are refused by the superclass.
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen and key.value not in REPEATABLE:
                mark = key.start_mark
                place = f"{mark.name}, line {mark.line + 1}"
                message = f"{place}: the key {key.value!r} is given twice; the last one counts"
                warnings.warn(message, DuplicateKeyWarning, stacklevel=2)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


OptionLoader.add_constructor(None, OptionLoader.construct_undefined)
OptionLoader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT_FLOAT, list("-+0123456789."))


def _expanded_size(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Return the number of nodes in the tree of `node`, with aliases written out.

    `sizes` caches the numbers by the id of a node; None marks a node that is being counted.
    """
    identity = id(node)
    if identity in sizes:
        size = sizes[identity]
        if size is None:
            problem = "an alias refers to a block that contains it; write out the values"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return size
    sizes[identity] = None
    size = 1
    for child in _child_nodes(node):
        size += _expanded_size(child, sizes)
    sizes[identity] = size
    return size


def _child_nodes(node: yaml.Node) -> Iterator[yaml.Node]:
    """Yield the keys and values of a mapping, or the items of a sequence."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def parse(text: str) -> Any:
    """Return the value of YAML `text`, with mappings as dicts in the order written.

    Raises:
        yaml.YAMLError: not YAML, a tag beyond plain YAML, an alias to itself, or more than
            MOST_NODES values by aliases; the message names line and column.
    """
    return yaml.load(text, Loader=OptionLoader)  # a SafeLoader


def load(source: str | os.PathLike) -> Any:
    """Return the value of a YAML file, or of YAML text.

    A path object, a one-line string that ends in .yml or .yaml, and a string that names a file are
    read as files; any other string is the text itself.

    Raises:
        FileNotFoundError: the file is missing.
        yaml.YAMLError: as for `parse`; the message names the file.
    """
    if isinstance(source, str) and not _names_file(source):
        return parse(source)
    with Path(source).open(encoding="utf-8") as file:
        return yaml.load(file, Loader=OptionLoader)


def override(options: dict, entries: Iterable[str]) -> None:
    """Change `options` in place by BasicSR's `--force_yml` entries: `train:optim_g:lr=1e-4`.

    A value is read as YAML (`[1, 2]`, `true`, `~`; `none` is null, too), or as plain text if it is
    not YAML. A key must exist; `+train:new_key=1` adds one.

    Raises:
        ValueError: an entry without `=`, an unknown key (the nearest one is named), or a refused
            tag.
    """
    for entry in entries:
        name, separator, text = entry.partition("=")
        name = name.strip()
        adding = name.startswith("+")
        path = [key.strip() for key in name.removeprefix("+").split(":")]
        if not separator or not all(path):
            raise ValueError(f"--force_yml {entry!r} is not of the form key:key=value")
        value = _value(text.strip(), entry)
        _assign(options, path, value, entry, adding)


def _names_file(text: str) -> bool:
    if "\n" in text:
        return False
    has_suffix = text.endswith((".yml", ".yaml"))
    return has_suffix or Path(text).is_file()


def _value(text: str, entry: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return parse(text)
    except yaml.constructor.ConstructorError as error:
        raise ValueError(f"--force_yml {entry!r}: {error.problem}") from error
    except yaml.YAMLError:  # a template such as {}_lq is not YAML, but a valid value
        return text


def _assign(options: dict, path: list[str], value: Any, entry: str, adding: bool) -> None:
    """Put `value` at the path of keys; only the last of these may be new, and only if `adding`."""
    target = options
    *parents, last = path
    for depth, key in enumerate(parents, 1):
        if key not in target:
            raise ValueError(_unknown(target, path[:depth], entry))
        target = target[key]
        if not isinstance(target, dict):
            place = ":".join(path[:depth])
            raise ValueError(f"--force_yml {entry!r}: {place} has no keys, it is {target!r}")
    if last not in target and not adding:
        raise ValueError(_unknown(target, path, entry))
    target[last] = value


def _unknown(target: dict, path: list[str], entry: str) -> str:
    """Return the message on a path whose last key is not in `target`."""
    *parents, last = path
    names = [str(name) for name in target]
    near = difflib.get_close_matches(last, names, n=1, cutoff=0.5)
    hint = f"its keys are {', '.join(names)}."
    if near:
        nearest = ":".join([*parents, near[0]])
        hint = f"did you mean {nearest}?"
    place = ":".join(path)
    return (
        f"--force_yml {entry!r}: the option file has no {place}; {hint} "
        f"To add a new key, write a plus: '+{entry}'"
    )
