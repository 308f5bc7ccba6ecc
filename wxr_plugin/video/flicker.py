"""Flicker of a restored video: its measure, and smoothing of what a network adds over time."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

GRID = 16
"""Cells along each side of a frame whose brightness is followed over time."""
CUT = 0.08
"""Change of the mean brightness, in [0, 1], between two frames of different scenes."""


class FlickerMeter:
    """Mean flicker of a video, frame by frame.

    Of each cell of a GRID x GRID grid, the second difference of the mean brightness over time,
    L[t-1] - 2 L[t] + L[t+1], in levels of 255: steady motion and slow changes of light cancel,
    what goes up and down again does not. The flicker is the mean of its absolute value. Our choice.
    """

    def __init__(self) -> None:
        self._last: list[np.ndarray] = []
        self._sum, self._count = 0.0, 0

    def add(self, pixels: np.ndarray) -> None:
        """Add the next frame, RGB (H, W, 3) of uint8 or uint16."""
        self._last = [*self._last[-2:], _cells(pixels)]
        if len(self._last) == 3:
            first, middle, last = self._last
            self._sum += float(np.abs(first - 2 * middle + last).mean())
            self._count += 1

    @property
    def flicker(self) -> float:
        """Mean of all frames so far, in levels of 255; 0 with fewer than three."""
        return self._sum / self._count if self._count else 0.0

    def state(self) -> dict[str, Any]:
        """Return what `resume` needs to add further frames later."""
        last = [cells.tolist() for cells in self._last]
        return {"last": last, "sum": self._sum, "count": self._count}

    def resume(self, state: dict[str, Any]) -> None:
        """Resume from `state()`."""
        self._last = [np.array(cells) for cells in state["last"]]
        self._sum, self._count = state["sum"], state["count"]


class Change(msgspec.Struct):
    """What a network did to the statistics of a frame, for each channel."""

    shift: list[float]
    """Mean after less mean before, in [-1, 1]."""
    gain: list[float]
    """Standard deviation after over that before."""
    brightness: float
    """Mean of the frame before, in [0, 1]."""


class Smoother:
    """Exponential smoothing of the global statistics that a network changes.

    A network that sees the whole image may brighten one frame more than the next. The change of
    mean and contrast of each channel is averaged over time, c[t] = a c[t-1] + (1 - a) of this
    frame's, and the frame is corrected to have it. The input's own changes stay, and a new scene
    starts the average again. Our choice.

    Args:
        amount: a in [0, 1); 0 changes nothing.
    """

    def __init__(self, amount: float):
        self.amount = amount
        self.change: Change | None = None

    def smooth(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return the restored frame `after`, corrected; both RGB (H, W, 3), uint8 or uint16."""
        if not self.amount:
            return after
        top = float(np.iinfo(after.dtype).max)
        (mean_in, std_in), (mean, std) = (_statistics(image / top) for image in (before, after))
        now = Change((mean - mean_in).tolist(), (std / std_in).tolist(), float(mean_in.mean()))
        self.change = self._averaged(now)
        target_mean = mean_in + np.array(self.change.shift)
        target_std = std_in * np.array(self.change.gain)
        smoothed = (after / top - mean) * (target_std / std) + target_mean
        return (smoothed.clip(0, 1) * top + 0.5).astype(after.dtype)

    def _averaged(self, now: Change) -> Change:
        last = self.change
        if last is None or abs(now.brightness - last.brightness) > CUT:
            return now
        pairs = {name: (getattr(last, name), getattr(now, name)) for name in ("shift", "gain")}
        mixed = {name: _mixed(*pair, self.amount) for name, pair in pairs.items()}
        return Change(**mixed, brightness=now.brightness)


class FolderSmoother:
    """Smoothing of frames that are files: each folder is a video of its own.

    Args:
        amount: that of `Smoother`.
    """

    def __init__(self, amount: float):
        self.amount = amount
        self._smoothers: dict[Path, Smoother] = {}

    def smooth(self, frame: Path, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return the restored frame `after` of the file `frame`, corrected as by `Smoother`."""
        smoother = self._smoothers.setdefault(frame.parent, Smoother(self.amount))
        return smoother.smooth(before, after)


def _mixed(last: list[float], now: list[float], amount: float) -> list[float]:
    return (amount * np.array(last) + (1 - amount) * np.array(now)).tolist()


def _statistics(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel, the latter at least 1e-3."""
    return image.mean((0, 1)), np.maximum(image.std((0, 1)), 1e-3)


def _cells(pixels: np.ndarray) -> np.ndarray:
    """Return the mean brightness of each cell, in levels of 255, (rows, columns)."""
    scale = 255 / np.iinfo(pixels.dtype).max
    grey = pixels.mean(2, dtype=np.float32) * scale
    rows = np.array_split(grey, min(GRID, grey.shape[0]), axis=0)
    cells = [
        [part.mean() for part in np.array_split(row, min(GRID, grey.shape[1]), axis=1)]
        for row in rows
    ]
    return np.array(cells, np.float64)
