"""Metrics that BasicSR's registry knows after this import: every `*_metric.py` of this folder."""

from pathlib import Path

from wxr_plugin.utils.modules import import_all

import_all(__name__, str(Path(__file__).parent), "_metric")


def forget() -> None:
    """Give the memory of all networks of metrics back; they are loaded again when they are asked for."""
    from wxr_plugin.metrics import (
        fid_features,
        full_reference_metric,
        no_reference_metric,
        vlm_vis_metric,
    )
    from wxr_plugin.vlm import pyiqa_metrics

    loaders = (full_reference_metric._metric, no_reference_metric._scores, vlm_vis_metric._rater)
    for loader in (*loaders, fid_features.load_inception, pyiqa_metrics.load_metric):
        loader.cache_clear()
