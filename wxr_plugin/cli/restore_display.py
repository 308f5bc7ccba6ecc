"""Output of `wxr restore`: the network that runs, bars for photos and their parts, the summary."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console

from wxr_plugin.hub import is_reference, read_reference
from wxr_plugin.inference.packaged import DEFAULT, PACKAGED
from wxr_plugin.utils.progress import progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from wxr_plugin.inference.pipeline import Outcome
    from wxr_plugin.inference.restorer import Restorer

OTHERS = (
    "This is the packaged network, trained for a few hours on a CPU. For a published one see `wxr "
    "zoo list --task derain` (or dehaze, desnow, weather), put its file in place and add --method "
    "NAME."
)
"""Line for a user who has named no network."""


def run_line(restorer: "Restorer", method: str | None, checkpoints: "list[Path] | None") -> str:
    """Return a line with the network that runs, its weights, device, precision and tiles."""
    weights = method or ", ".join(map(_short, checkpoints or [PACKAGED[DEFAULT]]))
    network = type(restorer.net).__name__
    place = f"{restorer.device}, {restorer.precision}, {_tiling(restorer)}"
    if restorer.engine != "torch":
        place = f"{restorer.engine}, {place}"
    return f"running {network} ({weights}) on {place}"


def _short(checkpoint: "Path") -> str:
    """Return the name of a file, or a whole reference to the hub."""
    return str(read_reference(checkpoint)) if is_reference(checkpoint) else checkpoint.name


def _tiling(restorer: "Restorer") -> str:
    patch = getattr(restorer.diffusion, "patch", None)
    if patch:
        return f"patches of {patch} pixels"
    if not restorer.tile:
        return "whole photos"
    if not isinstance(restorer.tile, int):  # chosen for each photo
        return "whole photos where memory allows, else tiles"
    shared = "" if restorer.overlap is None else f" that share {restorer.overlap}"
    return f"tiles of at most {restorer.tile} pixels{shared}"


def counted(count: int, noun: str = "photo") -> str:
    """Return `count` with its noun: 1 photo, 2 photos."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration in words: 0.8 s, 42 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class RestoreBar:
    """Progress bar of the photos, with a second one for tiles or steps of the current photo.

    The lower bar appears for photos that take several tiles or steps. Off a terminal nothing moves
    and only the final state of the upper bar is printed.

    Args:
        restorer: its `on_part` is set to this bar until `close`.
        count: photos to restore.
        console: where to draw; stderr by default.
    """

    def __init__(self, restorer: "Restorer", count: int, console: Console | None = None):
        self.bar = progress_bar(console, elapsed=False)
        self.restorer = restorer
        self.photos = self.bar.add_task("restoring", total=count, note="")
        self.part = self.bar.add_task("", visible=False, note="")
        self.megapixels = 0.0

    def __enter__(self) -> "RestoreBar":
        self.restorer.on_part = self.show_part
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.restorer.on_part = None
        self.bar.update(self.part, visible=False)
        self.bar.stop()

    def show_part(self, unit: str, done: int, total: int) -> None:
        """Show that `done` of `total` tiles or steps (`unit`) of the current photo are computed."""
        if done == 0:
            self.bar.reset(self.part, description=f"  {unit}", total=total, visible=total > 1)
        self.bar.update(self.part, completed=done, visible=1 < total != done)

    def follow(self, outcomes: "Iterator[Outcome]") -> "Iterator[Outcome]":
        """Yield `outcomes` while the bar advances by one photo each; print their notes above it."""
        for outcome in outcomes:
            self.megapixels += outcome.pixels / 1e6
            seconds = self.bar.tasks[self.photos].elapsed
            rate = f"{self.megapixels / seconds:.2f} megapixels/s" if seconds else ""
            self.bar.update(self.photos, advance=1, note=rate)
            if outcome.note:
                self.bar.console.print(
                    f"{outcome.photo}: {outcome.note}", highlight=False, soft_wrap=True
                )
            yield outcome
