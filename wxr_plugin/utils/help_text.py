"""Layout of the help of commands: wrapped paragraphs, examples as written, defaults in brackets."""

import argparse


class HelpFormatter(argparse.HelpFormatter):
    """Formatter that wraps paragraphs and keeps the lines of blocks with an indented line.

    `(default: VALUE)` is appended to the help of an argument that has a default and does not name
    it itself. Commands are listed without a heading line for their placeholder.
    """

    def _format_action(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._SubParsersAction):
            return "".join(map(self._format_action, action._get_subactions()))
        return super()._format_action(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.strip().split("\n\n")
        return "\n\n".join(self._fill_block(block, width, indent) for block in blocks)

    def _fill_block(self, block: str, width: int, indent: str) -> str:
        # Examples and tables are indented; wrapping would join their lines.
        if block.startswith(" ") or "\n " in block:
            return block
        return super()._fill_text(block, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        is_flag = action.default is None or action.default is False
        has_default = not is_flag and action.default not in (argparse.SUPPRESS, [], ())
        if not text or not has_default or "default" in text:
            return text
        return f"{text} (default: %(default)s)"
