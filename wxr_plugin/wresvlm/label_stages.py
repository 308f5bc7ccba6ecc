"""The stages that ask models about photos: who wins as pseudo-label, descriptions, rewrites."""

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
TEXT_ROWS = (b"description/", b"rewrite/", b"provenance/")
"""What the keys of texts in a label store start with."""


def specs(settings: Settings) -> list[RestorerSpec]:
    """The restorers of the first pseudo-labels."""
    named = settings.options.init.restorers if settings.options.init else []
    return [
        trained(settings, SUPERVISED, SUPERVISED) if text == SUPERVISED else read_spec(text)
        for text in named
    ]


def trained(settings: Settings, stage: str, name: str) -> RestorerSpec:
    """The averaged network of a training, as a restorer called `name`."""
    return RestorerSpec(name, settings.network(stage))


def choose_first(settings: Settings, folder: Path) -> None:
    """The panel chooses the pseudo-label of each real photo, as `wxr label init` does."""
    _vote(settings, folder, specs(settings), InitSettings(**_how(settings)), None)


def choose_again(settings: Settings, folder: Path, before: str) -> None:
    """The panel chooses that of each crop among photo, stored label and what the last round's teacher makes of it."""
    how = InitSettings(crops=settings.crops, **_how(settings))
    _vote(settings, folder, [trained(settings, before, before)], how, settings.labels(before))


def describe(settings: Settings, folder: Path) -> None:
    """Describe the real photos, or their crops, as `wxr label describe` does."""
    photos = RealPhotos(settings.real)
    crops = settings.options.describe.of == "crops"
    _describe(
        settings, folder, PhotoCrops(photos, settings.crops) if crops else WholePhotos(photos)
    )


def describe_labels(settings: Settings, folder: Path, labels: str) -> None:
    """Describe the pseudo-labels of the stage `labels`."""
    with LabelStore(settings.labels(labels), readonly=True) as store:
        _describe(settings, folder, PseudoLabelImages(store))


def rewrite(settings: Settings, folder: Path, described: str) -> None:
    """Rewrite the descriptions of the stage `described` for clear weather, as `wxr label rewrite` does."""
    from wxr_plugin.vlm.rewriter import build_rewriter

    path = folder / "labels.lmdb"
    if not path.exists():
        copy_store(settings.labels(described), path)
    rewriter = build_rewriter(settings.options.rewrite)
    with LabelStore(path) as store:
        with counting_bar("rewriting", len(store.descriptions())) as progress:
            tally = rewrite_descriptions(store, rewriter, progress=progress)
        report.print_rewrites(store, rewriter.provenance, tally)
        report.print_tally(store, tally, "texts")


def begin_labels(path: Path, labels: Path | None, texts: Path | None) -> None:
    """Make the label store with which a round begins: pseudo-labels of one store, and the texts of another."""
    if labels and not path.exists():
        copy_store(labels, path)
    with LabelStore(path) as store:
        if texts:
            with LabelStore(texts, readonly=True) as source:
                rows: list[tuple[bytes, bytes]] = []
                source.each_row(
                    lambda key, value: rows.append((key, bytes(value))) if _is_text(key) else None
                )
                store.put_rows(rows)


def _is_text(key: bytes) -> bool:
    return key.startswith(TEXT_ROWS)


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
    store, photos = folder / "labels.lmdb", RealPhotos(settings.real)
    raters = {name: settings.options.raters[name] for name in settings.options.panel}
    result = init_labels(photos, store, restorers, raters, how, start, counting_bar)
    init_report.print_result(result, store)
    init_report.write_csv(result, folder / "winners.csv")
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
