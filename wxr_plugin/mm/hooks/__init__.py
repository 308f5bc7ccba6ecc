"""Hooks for MMEngine's Runner: exact resuming, EMA, NaN guard, validation pictures, label store."""

from wxr_plugin.mm.hooks import ema, labels, nan_guard, pictures, seed  # noqa: F401
