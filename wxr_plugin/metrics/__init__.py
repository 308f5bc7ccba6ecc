"""Metrics; BasicSR's registry gets every `*_metric.py` of this folder at its first lookup."""


def forget() -> None:
    """Free the memory of all networks of metrics; they are loaded again when needed."""
    from wxr_plugin.metrics import (
        fid_features,
        full_reference_metric,
        no_reference_metric,
        vlm_vis_metric,
    )
    from wxr_plugin.vlm import pyiqa_metrics

    loaders = (
        full_reference_metric._metric,
        no_reference_metric._scores,
        vlm_vis_metric._rater,
        fid_features.load_inception,
        pyiqa_metrics.load_metric,
    )
    # All are lru_caches, which hold the only lasting references to the networks.
    for loader in loaders:
        loader.cache_clear()
