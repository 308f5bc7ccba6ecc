"""The first pseudo-labels: restorers restore real photos, a panel votes, the winners are stored.

WResVLM (arXiv 2409.02101) initialises its database of pseudo-labels so, and between rounds lets the
panel judge again. The paper names neither restorers nor raters nor how they vote; docs/labels.md
lists our choices.
"""

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import Precision
from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.labels.candidates import INPUT, STORED, PanelCandidates
from wxr_plugin.labels.copying import copy_store
from wxr_plugin.labels.labelling import RatingTask, label_photos
from wxr_plugin.labels.outcomes import InitResult
from wxr_plugin.labels.panel import panel_provenance
from wxr_plugin.labels.restoring import (
    Restorations,
    check_names,
    free_gpu,
    photo_contents,
    restore_photos,
)
from wxr_plugin.labels.sources import Crops
from wxr_plugin.labels.store import LabelStore, provenance_hash
from wxr_plugin.labels.winners import changed_winners, votes, winner_rows

Advance = Callable[[int, object], None]
"""Called with the number of items that are newly done, and with counts whose `str` is shown."""
Bars = Callable[[str, int], AbstractContextManager[Advance]]
"""Called with a stage's title and number of items; yields the Advance of that stage."""


class InitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the initialisation; every default is our choice."""

    crops: Crops | None = None
    """Choose for each of the training's crops instead of for whole photos."""
    tile: int | None = 1024
    """Restore larger photos in tiles of this side, in pixels; None: never."""
    overlap: int = 32
    """Pixels that neighbouring tiles share."""
    precision: Precision = "fp32"
    """Precision of the restorers."""
    device: str | None = None
    """Device of restorers: cpu, cuda, …; None: the GPU if there is one."""
    batch_size: int = 8
    """Images that a rater rates at once."""
    retry_failed: bool = False
    """Rate again the images that a rater could not rate before."""


@contextmanager
def no_bars(title: str, total: int) -> Iterator[Advance]:
    """Show no progress bar."""
    yield lambda done, counts: None


def init_labels(
    photos: RealPhotos,
    path: str | os.PathLike,
    restorers: Sequence[RestorerSpec],
    raters: Mapping[str, dict[str, Any]],
    settings: InitSettings | None = None,
    start_from: str | os.PathLike | None = None,
    bars: Bars = no_bars,
) -> InitResult:
    """Let the panel choose the pseudo-label of each photo, or of each crop, in the store `path`.

    Candidates are the photo, its stored pseudo-label, and its restoration by each restorer.
    `raters` are the panel: name for tables -> options of `build_rater`. With `start_from` the store
    is first copied from that one (see `copy_store`), unless `path` exists because an earlier call
    was stopped.

    It works in stages, and each stores its results: restorations in STORE.candidates, ratings in
    the store. Killed at any moment, the next call restores and rates only the missing images. The
    winners are stored at the end, after all votes, as pseudo-labels of iteration 0. One restorer or
    rater is in memory at a time.

    Raises:
        WxrError: nothing to choose from, names that clash, a restorer or rater that cannot be
            loaded or stops working, or a store that a training has continued with.
    """
    settings = settings or InitSettings()
    path = Path(path)
    check_names(restorers, (INPUT, STORED))
    _check_raters(raters)
    if not restorers and start_from is None and not path.exists():
        raise WxrError(
            f"nothing to choose from: name restorers; there is no {path} with pseudo-labels"
        )
    # A copy appears as a whole, so one that exists is complete.
    if start_from is not None and not path.exists():
        copy_store(start_from, path)
    with LabelStore(path) as store:
        _check(store, restorers)
        run = _Run(photos, store, settings, bars, InitResult(list(raters)))
        candidates = run.restore(restorers)
        provenances = {name: run.rate(name, opt, candidates) for name, opt in raters.items()}
        _refuse_twins(provenances)
        run.decide(candidates, list(provenances.values()))
    return run.result


def _check_raters(raters: Mapping[str, dict[str, Any]]) -> None:
    """Check the raters' options and names now: the raters are loaded after hours of restoring."""
    from wxr_plugin.vlm.transformers_rater import check_names

    if not raters:
        raise WxrError("a panel needs at least one rater")
    for opt in raters.values():
        check_names(opt)


def _check(store: LabelStore, restorers: Sequence[RestorerSpec]) -> None:
    index = store.pseudo_index()
    newest = max((label.iteration for label in index.values()), default=0)
    if newest > 0:
        raise WxrError(
            f"{store.path} holds pseudo-labels of a training that came to iteration {newest} and "
            f"may continue; write to a new store: -o NEW --from {store.path}"
        )
    if not restorers and not index:
        raise WxrError(
            f"nothing to choose from: name restorers; {store.path} holds no pseudo-labels"
        )


def _refuse_twins(provenances: Mapping[str, dict[str, Any]]) -> None:
    """Raise if a rater is in the panel twice, where it would count twice."""
    names: dict[str, str] = {}  # provenance hash -> name of the first rater with it
    for name, provenance in provenances.items():
        twin = names.setdefault(provenance_hash(provenance), name)
        if twin != name:
            raise WxrError(
                f"the raters '{twin}' and '{name}' are the same; name each rater of a panel once"
            )


class _Run(NamedTuple):
    """Inputs that all stages share."""

    photos: RealPhotos
    store: LabelStore
    settings: InitSettings
    bars: Bars
    result: InitResult

    def restore(self, restorers: Sequence[RestorerSpec]) -> PanelCandidates:
        """Read every photo, and have each restorer restore those that it has not restored yet."""
        with self.bars("reading the photos", len(self.photos)) as advance:
            contents, self.result.failed = photo_contents(self.photos, advance)
        # A shard may have no photos.
        if len(self.photos) and not contents:
            raise WxrError("none of the photos can be read: " + "; ".join(self.result.failed[:3]))
        restored = {spec.name: self._restored(spec, contents) for spec in restorers}
        return PanelCandidates(self.photos, contents, restored, self.store, self.settings.crops)

    def rate(self, name: str, opt: dict[str, Any], candidates: PanelCandidates) -> dict[str, Any]:
        """Have one rater rate every candidate without a stored rating; return its provenance."""
        from wxr_plugin.vlm.rater import build_rater

        task = RatingTask(build_rater(opt))
        settings = self.settings
        with self.bars(f"rating: {name}", len(candidates) * candidates.group_size) as advance:
            tally = label_photos(
                candidates, task, self.store, settings.batch_size, settings.retry_failed, advance
            )
        self.result.failed += [f"{name}: {line}" for line in tally.failed]
        provenance = task.provenance
        del task  # the last reference to the rater
        _forget_models()
        return provenance

    def decide(self, candidates: PanelCandidates, provenances: list[dict[str, Any]]) -> None:
        """Vote, and store the winners that differ from the stored labels."""
        self.result.outcomes = list(votes(self.photos, candidates, self.store, provenances))
        rater = self.store.put_provenance(panel_provenance(provenances))
        # Only differences are written, so a second call on the same photos writes nothing.
        changed = changed_winners(
            candidates, self.result.outcomes, self.store.pseudo_index(), rater
        )
        with self.bars("storing the winners", len(changed)) as advance:
            self.store.put_rows(winner_rows(candidates, changed, rater, advance))
        self.result.stored = len(changed)

    def _restored(self, spec: RestorerSpec, contents: Mapping[str, str]) -> dict[str, Path]:
        """Return photo -> file of its restoration by one restorer, which makes missing ones."""
        settings = self.settings
        folder = Restorations(self.store.path)
        result = result_settings(settings)
        digest = spec.digest(**result)
        files = {}
        for key, content in contents.items():
            files[key] = folder.file(spec, digest, key, content)
        options = {**result, "device": settings.device}
        with self.bars(f"restoring: {spec.name}", len(files)) as advance:
            restored = restore_photos(self.photos, files, spec, options, advance)
        self.result.failed += restored.failed
        return {key: file for key, file in files.items() if file.is_file()}


def result_settings(settings: InitSettings) -> dict[str, Any]:
    """Return the settings of a restorer that its results depend on.

    The default precision is left out, so that the digests of stored restorations hold.
    """
    values: dict[str, Any] = {"tile": settings.tile, "overlap": settings.overlap}
    if settings.precision != "fp32":
        values["precision"] = settings.precision
    return values


def _forget_models() -> None:
    """Drop every loaded model, so that only one rater is in memory at a time."""
    from wxr_plugin.vlm.transformers_vlm import load_vlm

    load_vlm.cache_clear()
    gc.collect()  # models are in reference cycles
    free_gpu()
