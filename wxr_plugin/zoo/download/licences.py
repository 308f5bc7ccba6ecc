"""Licences that the user accepted, kept with the weights (`LICENCES.yml`): method -> licence."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from wxr_plugin.utils import files
from wxr_plugin.zoo.rows import Row

NAME = "LICENCES.yml"


def open_licences(rows: Iterable[Row], folder: Path) -> dict[str, Row]:
    """Return method -> one of its rows, for those whose licence was not accepted in `folder`."""
    accepted = _read(folder)
    unaccepted = {}
    for row in rows:
        # A licence that has changed in the zoo is another one.
        if accepted.get(row.method) != row.licence:
            unaccepted.setdefault(row.method, row)
    return unaccepted


def accept_licences(rows: Iterable[Row], folder: Path) -> None:
    """Record that the licences of `rows` are accepted for the weights in `folder`."""
    accepted = _read(folder)
    before = dict(accepted)
    for row in rows:
        accepted[row.method] = row.licence
    if accepted != before:
        text = yaml.safe_dump(accepted, allow_unicode=True, width=1000)
        files.write_text(folder / NAME, text)


def _read(folder: Path) -> dict[str, str]:
    path = folder / NAME
    if not path.is_file():
        return {}
    stored = yaml.safe_load(path.read_text(encoding="utf-8"))
    return stored if isinstance(stored, dict) else {}
