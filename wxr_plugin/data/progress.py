"""The progress bar of the data commands."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")


def batches(
    items: Sequence[T], size: int, title: str, done: int = 0, shown: bool = True
) -> Iterator[Sequence[T]]:
    """Yield `size` of `items` at a time beside a bar that starts at `done` of `done + len(items)`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), disable=not shown
    ) as progress:
        task = progress.add_task(title, total=done + len(items), completed=done)
        for start in range(0, len(items), size):
            yield items[start : start + size]
            progress.update(task, completed=done + min(start + size, len(items)))
