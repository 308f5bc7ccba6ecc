"""Plan of a call of `wxr restore`: which photos, and into which files."""

import os
from collections.abc import Iterable
from pathlib import Path

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.frames import UNPACK, in_order, refuse_video

FORMATS = ("png", "jpg", "webp", "same")
"""Of results; `same` is each photo's own."""
LISTED = 5
"""Number of skipped files that are named; further ones are counted."""


def plan(sources: list[Path], output: Path, kind: str | None = None) -> dict[Path, Path]:
    """Map each result file to its photo, in natural order.

    `output` is the folder of the results, or for one photo the file of its result if it has an
    image's suffix. Below a folder, names and sub-folders are kept. Results that lie in a source are
    not taken for photos.

    Raises:
        WxrError: a source holds no photo; two photos would become one file; a result would lie next
            to photos (where a later command would take it for one) or replace its photo.
    """
    if names_file(output):
        return _one_file(sources, output, kind)
    if output.exists() and not output.is_dir():
        raise WxrError(f"{output} is a file; -o names the folder for the results")
    jobs: dict[Path, Path] = {}
    for source in sources:
        for photo, name in _photos(source, output):
            target = output / (name if kind == "same" else name.with_suffix(f".{kind or 'png'}"))
            if target in jobs:
                fix = "" if kind == "same" else " or with --format same"
                raise WxrError(
                    f"{photo} and {jobs[target]} would both become {target}; restore them "
                    f"apart{fix}"
                )
            jobs[target] = photo
    _refuse_own_folders(jobs)
    return jobs


def names_file(output: Path) -> bool:
    """Return whether -o names the file of a result: it has the suffix of an image."""
    from wxr_plugin.data.images.io import SUFFIXES

    return output.suffix.lower() in SUFFIXES


def result_kind(output: Path, kind: str | None) -> str:
    """Return the format of the results: --format, else that of the file that -o names, else png."""
    return kind or (output.suffix.lower().removeprefix(".") if names_file(output) else "png")


def skipped_line(sources: Iterable[Path], output: Path) -> str:
    """Return a line with the files below the folders of `sources` that are not photos, or ""."""
    from wxr_plugin.data.images.io import SUFFIXES, list_files

    inside = [path for source in sources if source.is_dir() for path in list_files(source)]
    results = _real(output)
    skipped = [path for path in inside if path.suffix.lower() not in SUFFIXES]
    skipped = [path for path in skipped if not _real(path).is_relative_to(results)]
    if not skipped:
        return ""
    names = ", ".join(path.name for path in skipped[:LISTED])
    more = f" and {len(skipped) - LISTED} more" if len(skipped) > LISTED else ""
    count = (
        "1 file that is no photo"
        if len(skipped) == 1
        else f"{len(skipped)} files that are no photos"
    )
    return f"skipped {count}: {names}{more}"


def _one_file(sources: list[Path], output: Path, kind: str | None) -> dict[Path, Path]:
    """Map the result file `output` to the only photo of `sources`."""
    if output.is_dir():
        raise WxrError(
            f"{output} is a folder, but has the name of an image; rename it, or choose another "
            "name with -o"
        )
    photos = [photo for source in sources for photo, _ in _photos(source, output)]
    if len(photos) > 1:
        raise WxrError(
            f"-o {output} names one file, and there are {len(photos)} photos; name a folder with -o"
        )
    suffix = output.suffix.lower()
    if kind and suffix != (photos[0].suffix.lower() if kind == "same" else f".{kind}"):
        raise WxrError(f"--format {kind} and -o {output} ask for two formats; leave --format out")
    if _real(output) == _real(photos[0]):
        raise WxrError(
            f"{photos[0]} would be overwritten by its own result; choose another name with -o"
        )
    if (_real(output.parent), output.stem) == (_real(photos[0].parent), photos[0].stem):
        raise WxrError(
            f"{output} and {photos[0]} would be two photos of one name in one folder, which later "
            "commands refuse; choose another name, for example "
            f"-o {output.with_stem(output.stem + '_restored')}"
        )
    return {output: photos[0]}


def _refuse_own_folders(jobs: dict[Path, Path]) -> None:
    """Raise WxrError if a result would lie in a folder that holds one of the photos."""
    folders = {_real(photo.parent): photo for photo in jobs.values()}
    for target, photo in jobs.items():
        if _real(target.parent) in folders:
            raise WxrError(
                f"the result of {photo} would lie next to photos, as {target}, where later "
                "commands would take it for one; choose another folder with -o"
            )


def _real(path: Path) -> Path:
    """Return `path` without links.

    `Path.resolve` raises at a link to itself on Python 3.12 and older.
    """
    return Path(os.path.realpath(path))


def _photos(source: Path, output: Path) -> list[tuple[Path, Path]]:
    """Return the photos of a file or folder, each with its name below the output."""
    from wxr_plugin.data.images.io import SUFFIXES, list_images

    if not source.exists():
        raise WxrError(f"{source}: no such file or folder")
    refuse_video(source)
    if not source.is_dir():
        _refuse_document(source)
        return [(source, Path(source.name))]
    results = _real(output)
    photos = list_images(source)
    # Results of an earlier call may lie below the source.
    if results != _real(source) and results.is_relative_to(_real(source)):
        photos = [photo for photo in photos if not _real(photo).is_relative_to(results)]
    if not photos:
        raise WxrError(
            f"{source}: no images in this folder (looked for {', '.join(SUFFIXES)}); {UNPACK}"
        )
    return [(photo, photo.relative_to(source)) for photo in in_order(photos)]


def _refuse_document(path: Path) -> None:
    """Raise WxrError for a file whose first bytes are not those of a photo, such as a PDF."""
    from wxr_plugin.data.images.io import HEAD, other_kind

    try:
        with path.open("rb") as file:
            kind = other_kind(file.read(HEAD))
    except OSError:
        return  # reading the photo reports it
    if kind:
        raise WxrError(f"{path}: {kind}")
