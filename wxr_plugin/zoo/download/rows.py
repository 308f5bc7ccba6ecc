"""Files of whole rows: what is missing, and the function that fetches it."""

from collections.abc import Iterable
from pathlib import Path

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.offline import is_offline
from wxr_plugin.zoo.download.addresses import WantedFile, hub_models, wanted_files
from wxr_plugin.zoo.download.hosts import Transfer
from wxr_plugin.zoo.download.licences import accept_licences, open_licences
from wxr_plugin.zoo.download.mirrors import read_mirrors
from wxr_plugin.zoo.download.obtain import obtain
from wxr_plugin.zoo.places import WEIGHTS, existing
from wxr_plugin.zoo.rows import Row, find_row


def download(
    name: str,
    *,
    folder: str | Path | None = None,
    accept_licence: bool = False,
    offline: bool | None = None,
    mirrors: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Fetch the missing files of a published method, and return its file or the first of several.

    Files that are here are not fetched again. `method_spec(name)` finds all of them, or
    `method_spec(name, folder)` with another folder.

    Args:
        name: row of the zoo, such as "restormer-derain".
        folder: folder of the weights; None for WEIGHTS.
        accept_licence: accept the licence of the method, if files are missing and it was not
            accepted before.
        offline: whether nothing may be fetched; None: as HF_HUB_OFFLINE says.
        mirrors: YAML table of mirrors; None for that of WXR_MIRRORS.
        progress: whether bars are drawn on stderr.

    Raises:
        WxrError: there is no such row, its licence is not accepted, a file cannot be fetched, or it
            is not the published one; one line says why and what to do.
    """
    row = find_row(name)
    root = Path(folder).expanduser() if folder else WEIGHTS
    missing = missing_files([row], root)
    refuse_offline(missing, offline)
    if missing:
        _accept(row, root, accept_licence)
    transfer = Transfer(read_mirrors(mirrors), progress)
    for wanted in missing:
        obtain(wanted, root, transfer)
    if missing:
        obtain_models(row, root)
    first = wanted_files(row)[0]
    path = existing(row, first.name, root)
    assert path is not None  # obtained above
    return path


def is_complete(name: str, folder: str | Path | None = None) -> bool:
    """Return whether all files of a published method are in `folder` (default: WEIGHTS), unread."""
    root = Path(folder).expanduser() if folder else WEIGHTS
    return not missing_files([find_row(name)], root)


def missing_files(rows: Iterable[Row], folder: Path) -> list[WantedFile]:
    """Return the files of `rows` that are not below `folder`, each once."""
    missing = {}
    for row in rows:
        for wanted in wanted_files(row):
            if existing(row, wanted.name, folder) is None:
                missing.setdefault(wanted.target, wanted)
    return list(missing.values())


def _accept(row: Row, folder: Path, is_accepted: bool) -> None:
    """Record the licence of a row as accepted, or raise WxrError if it never was."""
    if not is_accepted and open_licences([row], folder):
        raise WxrError(
            f"{row.name}: its licence is '{row.licence}' ({row.source}); accept it with "
            "accept_licence=True to fetch the weights"
        )
    accept_licences([row], folder)


def refuse_offline(missing: Iterable[WantedFile], offline: bool | None = None) -> None:
    """Raise WxrError with the addresses of the missing files if nothing may be fetched."""
    if not (is_offline() if offline is None else offline):
        return
    places = []
    for wanted in missing:
        source = wanted.addresses[0] if wanted.addresses else f"ask {wanted.ask}"
        places.append(f"{wanted.name} ({source})")
    if places:
        raise WxrError(
            f"offline, and these files are not here: {', '.join(places)}; fetch them on another "
            "machine, or leave out --offline and HF_HUB_OFFLINE"
        )


def obtain_models(row: Row, folder: Path) -> list[Path]:
    """Fetch the models that a row loads from the hub's cache, and return their folders.

    A folder of the model's name below `folder` takes its place.
    """
    from wxr_plugin.vlm.fetch import local_folder

    folders = []
    for model in hub_models(row):
        local = folder / Path(model).name
        folders.append(local if local.is_dir() else local_folder(model))
    return folders
