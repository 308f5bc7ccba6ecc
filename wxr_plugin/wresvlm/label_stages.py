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
from wxr_plugin.labels.sources import Crops, PhotoCrops, PseudoLabelImages, Source, WholePhotos
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.utils.progress import counting_bar
from wxr_plugin.wresvlm.settings import Settings

SUPERVISED = "supervised"


def specs(settings: Settings) -> list[RestorerSpec]:
    """Return the restorers of the first pseudo-labels."""
    init = settings.options.init
    texts = init.restorers if init else ()
    restorers = []
    for text in texts:
        # The word of this run's own network, which has no path yet when the file is read.
        if text == SUPERVISED:
            restorers.append(trained(settings, text, text))
        else:
            restorers.append(read_spec(text))
    return restorers


def trained(settings: Settings, stage: str, name: str) -> RestorerSpec:
    """Return the averaged network of a training as a restorer called `name`."""
    checkpoint = settings.network(stage)
    return RestorerSpec(name, checkpoint)


def choose_first(settings: Settings, folder: Path) -> None:
    """Let the panel choose the pseudo-label of each real photo, as `wxr label init` does."""
    restorers = specs(settings)
    how = init_settings(settings)
    _vote(settings, folder, restorers, how, None)


def choose_again(settings: Settings, folder: Path, before: str) -> None:
    """Let the panel choose the pseudo-label of each crop.

    Candidates are the photo, the stored label, and the restoration by the teacher of the stage
    `before`.
    """
    teacher = trained(settings, before, before)
    how = init_settings(settings, settings.crops)
    start = settings.labels(before)
    _vote(settings, folder, [teacher], how, start)


def describe(settings: Settings, folder: Path) -> None:
    """Describe the real photos, or their crops, as `wxr label describe` does."""
    photos = RealPhotos(settings.real)
    if settings.options.describe.of == "photos":
        source = WholePhotos(photos)
    else:
        source = PhotoCrops(photos, settings.crops)
    _describe(settings, folder, source)


def describe_labels(settings: Settings, folder: Path, labels: str) -> None:
    """Describe the pseudo-labels of the stage `labels`."""
    path = settings.labels(labels)
    with LabelStore(path, readonly=True) as store:
        source = PseudoLabelImages(store)
        _describe(settings, folder, source)


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
        count = len(store.descriptions())
        with counting_bar("rewriting", count) as progress:
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
                rows = source.text_rows()
                store.put_rows(rows)


def init_settings(settings: Settings, crops: Crops | None = None) -> InitSettings:
    """Return the settings of a vote among restorations, of `crops` or of whole photos."""
    init = settings.options.init
    values: dict = {"crops": crops, "device": settings.options.launch.device}
    if init:
        values |= {"tile": init.tile, "overlap": init.overlap, "precision": init.precision}
    return InitSettings(**values)


def _vote(
    settings: Settings,
    folder: Path,
    restorers: list[RestorerSpec],
    how: InitSettings,
    start: Path | None,
) -> None:
    """Let the panel choose pseudo-labels into the folder's store, and report the votes."""
    store = folder / "labels.lmdb"
    photos = RealPhotos(settings.real)
    options = settings.options
    raters = {name: options.raters[name] for name in options.panel}
    result = init_labels(photos, store, restorers, raters, how, start, counting_bar)
    init_report.print_result(result, store)
    init_report.write_csv(result, folder / "winners.csv")
    # The winners are in the store; the other restorations would take several times its size.
    Restorations(store).remove()


def _describe(settings: Settings, folder: Path, source: Source) -> None:
    """Describe the images of `source` into the folder's store, and report the texts."""
    from wxr_plugin.vlm.describer import build_describer

    options = settings.options.describe
    task = DescriptionTask(build_describer(options.describer))
    size = options.batch_size
    count = len(source) * source.group_size
    with LabelStore(folder / "labels.lmdb") as store:
        with counting_bar("describing", count) as progress:
            tally = label_photos(source, task, store, size, progress=progress)
        report.print_descriptions(store, task, tally)
        report.print_tally(store, tally)
