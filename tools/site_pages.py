"""Pages of the site that are generated: commands, option files, zoo, data sets, hardware, models.

mkdocs runs this file (gen-files in mkdocs.yml); `pages()` returns the pages as texts.
"""

import argparse
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "wxr_plugin"
MODELS = ("small_restorer", "tiny_restorer", "tiny_llava", "tiny_clip", "tiny_daclip", "tiny_depth")

OPTIONS = """Every block and key of the option files, from the JSON schema that editors read (`wxr
schema`). How to write them: [options](../options.md)."""
CHECKPOINTS = """{} published checkpoints; how to fetch and apply them: [zoo](../zoo.md). A
licence of none means that the authors name none."""
DATA_SETS = """Test sets that `wxr benchmark` knows by name, with the number of photos of the
official download, and the licence of the photos as the page of the source states it. Not stated:
it states none, so ask the authors; unchecked: that page was not read for a licence."""
HARDWARE = """Computed, not measured: `python tools/hardware_table.py docs/hardware.csv`. Memory
is that of weights, gradients, two moments of Adam and the EMA (20 bytes a parameter) plus the
activations that the backward pass keeps for one batch on one GPU in float32; frozen guides and
raters come on top, and mixed precision takes about half. Work is three times the operations of
the forward passes of all iterations. Hours assume one GPU at 30 % of the 165 TFLOP/s that an RTX
4090 has in bfloat16. A dash is what could not be computed: networks that predict noise, or that
take other inputs."""


def pages() -> dict[str, str]:
    """Return path below docs/ -> Markdown of every generated page."""
    return {
        "reference/commands.md": commands(),
        "reference/options.md": options(),
        "reference/python.md": python(),
        "reference/checkpoints.md": checkpoints(),
        "reference/data_sets.md": data_sets(),
        "reference/hardware.md": hardware(),
        "reference/models.md": models(),
    }


def commands() -> str:
    """Return the page of all commands with their help."""
    from wxr_plugin.cli.main import build_parser

    lines = ["# Commands", "", "The help of every command, as `--help` prints it.", ""]
    for name, parser in _commands("wxr", build_parser()):
        # The usage names the program as it is called.
        lines += [f"## {name}", "", "```text", parser.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def _commands(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, Any]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for key, child in action.choices.items():
                yield from _commands(f"{name} {key}", child)


def options() -> str:
    """Return the page of all blocks of option files and their keys, from the schema."""
    schema = json.loads((PACKAGE / "options.schema.json").read_text(encoding="utf-8"))
    lines = ["# Option files", "", OPTIONS, ""]
    blocks = {"training": schema, **dict(sorted(schema["definitions"].items()))}
    for name, block in blocks.items():
        lines += [f"## {name.capitalize()}", "", block.get("description", ""), ""]
        lines += _keys(block["properties"])
        for branch in block.get("allOf", []):
            lines += _branch(block["properties"], branch)
    return "\n".join(lines)


def _branch(shared: dict[str, Any], branch: dict[str, Any]) -> list[str]:
    """Return the section of one type of a block: the keys that only it has."""
    # Without `properties`, the branch is that of a block without a type.
    conditions = branch["if"].get("properties", {"type": {"const": "Without a type"}})
    ((_, condition),) = conditions.items()
    kinds = condition["enum"] if "enum" in condition else [condition.get("const", "")]
    properties = branch["then"].get("properties", {})
    own, bare = {}, {}
    for key, value in properties.items():
        if isinstance(value, dict) and value and value != shared.get(key):
            own[key] = value
        elif key not in shared:
            bare[key] = value
    if not own and not bare:
        return []
    return [f"### {' or '.join(map(str, kinds))}", "", *_keys({**own, **bare})]


def _keys(properties: dict[str, Any]) -> list[str]:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, value in _flat(properties):
        default = f"`{json.dumps(value['default'])}`" if "default" in value else ""
        meaning = _cell(value.get("description", ""))
        rows.append(f"| `{key}` | {_cell(_type(value))} | {_cell(default)} | {meaning} |")
    return [*rows, ""]


def _flat(properties: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the keys with their schemas, those of a block after it as `block.key`."""
    for key, value in properties.items():
        value = value if isinstance(value, dict) else {}
        yield prefix + key, value
        # A block that may be left out is one of several choices.
        for part in [value, *value.get("anyOf", [])]:
            yield from _flat(part.get("properties", {}), f"{prefix}{key}.")


def _type(value: dict[str, Any]) -> str:
    """Return the type of a value of the schema in words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"`{name}`"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{item}`" for item in value["enum"])
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(dict.fromkeys(_type(part) for part in value[key]))
    kind = value.get("type", "any")
    if kind == "array" and isinstance(value.get("items"), dict):
        return f"list of {_type(value['items'])}"
    return {"object": "block", "null": "none"}.get(kind, str(kind))


def python() -> str:
    """Return the page of the public Python interface; mkdocstrings fills it."""
    lines = ["# Python", "", "With examples: [Python](../api.md).", "", "::: wxr_plugin.api", ""]
    for module in ("registry", "schema", "errors"):
        lines += [f"::: wxr_plugin.{module}", ""]
    return "\n".join(lines)


def checkpoints() -> str:
    """Return the table of published checkpoints."""
    from wxr_plugin.zoo.rows import rows as read_rows

    rows = list(read_rows().values())
    lines = ["# Checkpoints", "", CHECKPOINTS.format(len(rows)), ""]
    lines += ["| name | method | task | licence |", "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| `{row.name}` | {row.method} | {row.task} | {_cell(str(row.licence))} |")
    return "\n".join([*lines, ""])


def data_sets() -> str:
    """Return the table of known test sets."""
    text = (PACKAGE / "benchmark/sets.yml").read_text(encoding="utf-8")
    sets = yaml.safe_load(text)
    lines = ["# Data sets", "", DATA_SETS, ""]
    keys = ("title", "task", "count", "licence", "paper", "source")
    lines += ["| name | set | task | photos | licence | paper | source |", "|---" * 7 + "|"]
    for name, facts in sets.items():
        cells = [facts[key] for key in keys]
        row = " | ".join(_cell(str(cell)) for cell in cells)
        lines.append(f"| `{name}` | {row} |")
    return "\n".join([*lines, ""])


def hardware() -> str:
    """Return the table of what each option file for training needs."""
    table = (ROOT / "docs/hardware.csv").read_text(encoding="utf-8").splitlines()
    head, *rows = [line.split(",") for line in table]
    lines = ["# Hardware needs", "", HARDWARE, ""]
    lines += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, ""])


def models() -> str:
    """Return the cards of the packaged models on one page."""
    lines = ["# Packaged models", ""]
    for name in MODELS:
        text = (PACKAGE / "assets" / name / "README.md").read_text(encoding="utf-8")
        # The title of a card becomes a section, and its sections go one level down.
        body = re.sub(r"^(#+) ", r"\1# ", text, flags=re.MULTILINE)
        lines += [f'<a id="{name}"></a>', "", _without_links(body), ""]
    return "\n".join(lines)


def _without_links(text: str) -> str:
    """Return a text whose relative links are plain text, since the files are not on the site."""
    return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


def _cell(text: str) -> str:
    """Return a text that may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def write() -> None:
    """Write all pages into the site that mkdocs builds."""
    import mkdocs_gen_files

    for path, text in pages().items():
        with mkdocs_gen_files.open(path, "w") as stream:
            stream.write(text)


# mkdocs runs the file without a name of its own; without mkdocs there is nothing to write.
if __name__ == "<run_path>" or __name__ == "__main__":
    with contextlib.suppress(ImportError):
        write()
