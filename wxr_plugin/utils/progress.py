"""Progress bars on stderr, drawn with rich on a terminal; elsewhere only their end is printed."""

import atexit
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from wxr_plugin.utils.verbosity import is_quiet

T = TypeVar("T")
Advance = Callable[[int, object], None]
"""Called with the number of items that were finished and a note, which is shown next to the bar."""


def progress_bar(
    console: Console | None = None, elapsed: bool = True, width: int | None = 40, **settings: Any
) -> Progress:
    """Return rich's Progress with the columns that all bars of this package share.

    Args:
        console: where to draw; stderr by default, since stdout is for results.
        elapsed: show the time so far in addition to the time that remains.
        width: characters of the bar; None fills the line.
        settings: further arguments of Progress, such as `transient`.

    A task has to be added with `note=`, the text next to its count.
    """
    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=width),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    if elapsed:
        columns.append(TimeElapsedColumn())
    settings["disable"] = settings.get("disable", False) or is_quiet()
    console = console or Console(stderr=True)
    return Progress(*columns, TimeRemainingColumn(), console=console, **settings)


def track(
    items: Iterable[T],
    title: str,
    total: int | None = None,
    console: Console | None = None,
    transient: bool = False,
) -> Iterator[T]:
    """Yield `items` under a bar of `total` steps (default: their number).

    `transient` removes the bar at the end.
    """
    with progress_bar(console, elapsed=False, transient=transient) as bar:
        task = bar.add_task(title, total=total, note="")
        yield from bar.track(items, total=total, task_id=task)


def batches(
    items: Sequence[T], size: int, title: str, done: int = 0, shown: bool = True
) -> Iterator[Sequence[T]]:
    """Yield `size` of `items` at a time under a bar; `done` earlier ones count as finished."""
    with progress_bar(disable=not shown) as bar:
        task = bar.add_task(title, total=done + len(items), completed=done, note="")
        for start in range(0, len(items), size):
            yield items[start : start + size]
            bar.update(task, completed=done + min(start + size, len(items)))


@contextmanager
def counting_bar(title: str, total: int) -> Iterator[Advance]:
    """Draw a bar during the block and yield the function that advances it."""
    with progress_bar() as bar:
        task = bar.add_task(title, total=total, note="")

        def advance(count: int, note: object) -> None:
            bar.update(task, advance=count, note=str(note))

        yield advance


@contextmanager
def byte_bar(title: str, shown: bool = True) -> Iterator[Callable[[int, int | None], None]]:
    """Draw a bar of bytes on stderr and yield the function that sets it: done, total or None."""
    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=40),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]
    disable = not shown or is_quiet()
    with Progress(*columns, console=Console(stderr=True), disable=disable) as bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield update


class TrainingBar:
    """Bar of a run, with one for each loop inside it, below the lines of a logger.

    Args:
        total: iterations of the run.
        console: where to draw.
    """

    current: "TrainingBar | None" = None
    """The bar on the terminal, which has room for one."""

    def __init__(self, total: int, console: Console):
        self.bar = progress_bar(console, elapsed=False, width=None, refresh_per_second=4)
        self.task = self.bar.add_task("train", total=total, note="")
        self.handlers: list[tuple[logging.StreamHandler, object]] = []

    @classmethod
    def start(
        cls, total: int, logger: logging.Logger, console: Console | None = None
    ) -> "TrainingBar | None":
        """Draw a bar below the lines of `logger` and return it; None off a terminal.

        Log files and pipes thus get plain lines. An earlier bar is stopped.
        """
        console = console or Console(stderr=True)
        if not console.is_terminal:
            return None
        if cls.current:
            cls.current.stop()
        cls.current = bar = cls(total, console)
        original = sys.stderr
        # Rich replaces sys.stderr by a stream that prints above the bar, so a handler that holds
        # the original stream would write into the bar.
        bar.bar.start()
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is original:
                bar.handlers.append((handler, handler.setStream(sys.stderr)))
        atexit.register(bar.stop)
        return bar

    def update(self, iteration: int, note: str) -> None:
        """Show that the run is at `iteration`, with `note` next to the count."""
        self.bar.update(self.task, completed=iteration, note=note)

    def track(self, items: Iterable[T], total: int, title: str) -> Iterator[T]:
        """Yield `items` under a second bar, which is removed after the last of them."""
        task = self.bar.add_task(title, total=total, note="")
        try:
            for item in items:
                yield item
                self.bar.advance(task)
        finally:
            self.bar.remove_task(task)

    def stop(self) -> None:
        """Remove the bar and give the logger its stream back; a second call does nothing."""
        self.bar.stop()
        for handler, stream in self.handlers:
            handler.setStream(stream)
        self.handlers.clear()
