"""`wxr completion`: a script with which a shell completes commands, options and their choices."""

import argparse
import shlex
from collections.abc import Iterator

from wxr_plugin.cli.parsers import add_command

DESCRIPTION = """
Print a script for bash or zsh that completes commands, options, choices and file names. It lists
what this version has: print it again after an update.
"""
EXAMPLES = """examples:
  source <(wxr completion bash)        for this shell
  wxr completion bash > ~/.local/share/bash-completion/completions/wxr
  wxr completion zsh >> ~/.zshrc
"""
SCRIPT = """\
_wxr() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" path="wxr" words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${{COMP_WORDS[i]}}" in
      {paths}) path="$path ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case "$path $prev" in
{choices}
  esac
  if [[ -z $words ]]; then
    case "$path" in
{words}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ ${{#COMPREPLY[@]}} -eq 0 ]]; then
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}}
complete -o filenames -F _wxr wxr
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
"""Lets zsh run completions of bash."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `completion` to the `wxr` command."""
    summary = "print a script for the completion of commands in a shell"
    parser = add_command(subparsers, "completion", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument("shell", choices=("bash", "zsh"), help="shell that reads the script")


def run(args: argparse.Namespace) -> int:
    """Print the script; return 0."""
    from wxr_plugin.cli.main import build_parser

    text = script(build_parser())
    print(ZSH + text if args.shell == "zsh" else text, end="")
    return 0


def script(parser: argparse.ArgumentParser) -> str:
    """Return the script of bash for `parser` and all its commands."""
    commands = dict(walk(parser))
    paths = [f'"{name}"' for name in commands if " " in name]
    words = [_case(name, _words(command)) for name, command in commands.items()]
    choices = []
    for name, command in commands.items():
        choices += [_case(f"{name} {flag}", values) for flag, values in _choices(command)]
    return SCRIPT.format(paths="|".join(paths), choices="\n".join(choices), words="\n".join(words))


def walk(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield "wxr zoo list" -> its parser, for `parser` and every command below it."""
    yield parser.prog, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                for path, command in walk(child):
                    tail = path.removeprefix(child.prog)
                    yield f"{parser.prog} {name}{tail}", command


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Return the commands of a group, or else the long options and the choices of a command."""
    words: list[str] = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        if action.option_strings:
            words.append(action.option_strings[-1])
        elif action.choices:
            words += map(str, action.choices)
    return words


def _choices(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    """Yield each option with choices, in every spelling, and these."""
    for action in parser._actions:
        if action.choices and action.option_strings:
            for flag in action.option_strings:
                yield flag, list(map(str, action.choices))


def _case(pattern: str, words: list[str]) -> str:
    return f"    {shlex.quote(pattern)}) words={shlex.quote(' '.join(words))} ;;"
