"""`wxr schema`: the JSON schema with which editors complete and check option files."""

import argparse
from pathlib import Path

from wxr_plugin.cli.parsers import add_command
from wxr_plugin.utils import files

SHIPPED = Path(__file__).parents[1] / "options.schema.json"

DESCRIPTION = """
Print the JSON schema of option files. Editors with yaml-language-server complete and check an
option file that begins with such a line:

  # yaml-language-server: $schema=../options.schema.json
"""
EXAMPLES = """examples:
  wxr schema > options.schema.json
  wxr schema --path
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `schema` to the `wxr` command."""
    summary = "print the JSON schema of option files"
    parser = add_command(subparsers, "schema", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--path", action="store_true", help="print the path of the packaged schema instead"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the schema to FILE instead of stdout"
    )


def run(args: argparse.Namespace) -> int:
    """Print or write the JSON schema; return 0."""
    if args.path:
        print(SHIPPED)
        return 0
    # Slow to import: they read every registered class.
    from wxr_plugin.cli import schema_text

    if args.write:
        files.write_text(args.write, schema_text.text())
    else:
        print(schema_text.text(), end="")
    return 0
