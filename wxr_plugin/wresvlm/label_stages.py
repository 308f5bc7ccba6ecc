"""Stages that query models about photos: votes on pseudo-labels, descriptions and rewrites."""

from pathlib import Path

from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.inference.specs import RestorerSpec, read_spec
from wxr_plugin.labels import init_report, report
from wxr_plugin.labels.copying import copy_store
from wxr_plugin.labels.initial import InitSettings, init_labels
from wxr_plugin.labels.labelling import DescriptionTask, label_photos
from wxr_plugin.labels.restoring import Restorations
from wxr_plugin.labels.rewriting import rewrite_descriptions
from wxr_plugin.labels.sources import PhotoCrops, PseudoLabelImages, Source, WholePhotos
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.utils.progress import counting_bar
from wxr_plugin.wresvlm.settings import Settings

SUPERVISED = "supervised"


def specs(settings: Settings) -> list[RestorerSpec]:
    """Return the restorers of the first pseudo-labels."""
    init = settings.options.init
    restorers = []
    for text in init.restorers if init else ():
        is_stage = text == SUPERVISED
        restorers.append(trained(settings, text, text) if is_stage else read_spec(text))
    return restorers


def trained(settings: Settings, stage: str, name: str) -> RestorerSpec:
    """Return the averaged network of a training as a restorer called `name`."""
    return RestorerSpec(name, settings.network(stage))


def choose_first(settings: Settings, folder: Path) -> None:
    """Let the panel choose the pseudo-label of each real photo, as `wxr label init` does."""
    _vote(settings, folder, specs(settings), InitSettings(**_how(settings)), None)


def choose_again(settings: Settings, folder: Path, before: str) -> None:
    """Let the panel choose the pseudo-label of each crop.

    Candidates are the photo, the stored label, and the restoration by the teacher of the stage
    `before`.
    """
    how = InitSettings(crops=settings.crops, **_how(settings))
    _vote(settings, folder, [trained(settings, before, before)], how, settings.labels(before))


def describe(settings: Settings, folder: Path) -> None:
    """Describe the real photos, or their crops, as `wxr label describe` does."""
    photos = RealPhotos(settings.real)
    whole = settings.options.describe.of == "photos"
    _describe(
        settings, folder, WholePhotos(photos) if whole else PhotoCrops(photos, settings.crops)
    )


def describe_labels(settings: Settings, folder: Path, labels: str) -> None:
    """Describe the pseudo-labels of the stage `labels`."""
    with LabelStore(settings.labels(labels), readonly=True) as store:
        _describe(settings, folder, PseudoLabelImages(store))


def rewrite(settings: Settings, folder: Path, described: str) -> None:
    """Rewrite the descriptions of the stage `described` for clear weather.

    It does what `wxr label rewrite` does.
    """
    from wxr_plugin.vlm.rewriter import build_rewriter

    path = folder / "labels.lmdb"
    # A copy, because a stage writes into its own folder only.
    if not path.exists():
        copy_store(settings.labels(described), path)
    rewriter = build_rewriter(settings.options.rewrite)
    with LabelStore(path) as store:
        with counting_bar("rewriting", len(store.descriptions())) as progress:
            tally = rewrite_descriptions(store, rewriter, progress=progress)
        report.print_rewrites(store, rewriter.provenance, tally)
        report.print_tally(store, tally, "texts")


def begin_labels(path: Path, labels: Path | None, texts: Path | None) -> None:
    """Make the label store of a round from pseudo-labels of one store and texts of another."""
    if labels and not path.exists():
        copy_store(labels, path)
    with LabelStore(path) as store:
        if texts:
            with LabelStore(texts, readonly=True) as source:
                store.put_rows(source.text_rows())


def _how(settings: Settings) -> dict:
    init = settings.options.init
    tiles = {"tile": init.tile, "overlap": init.overlap} if init else {}
    return {**tiles, "device": settings.options.launch.device}


def _vote(
    settings: Settings,
    folder: Path,
    restorers: list[RestorerSpec],
    how: InitSettings,
    start: Path | None,
) -> None:
    store = folder / "labels.lmdb"
    photos = RealPhotos(settings.real)
    raters = {name: settings.options.raters[name] for name in settings.options.panel}
    result = init_labels(photos, store, restorers, raters, how, start, counting_bar)
    init_report.print_result(result, store)
    init_report.write_csv(result, folder / "winners.csv")
    # The winners are in the store; the other restorations would take several times its size.
    Restorations(store).remove()


def _describe(settings: Settings, folder: Path, source: Source) -> None:
    from wxr_plugin.vlm.describer import build_describer

    options = settings.options.describe
    task = DescriptionTask(build_describer(options.describer))
    with LabelStore(folder / "labels.lmdb") as store:
        with counting_bar("describing", len(source) * source.group_size) as progress:
            tally = label_photos(source, task, store, options.batch_size, progress=progress)
        report.print_descriptions(store, task, tally)
        report.print_tally(store, tally)
