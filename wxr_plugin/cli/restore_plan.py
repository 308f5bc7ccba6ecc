"""Plan of a call of `wxr restore`: which photos, and into which files."""

from os.path import realpath
from pathlib import Path

from wxr_plugin.data.images.io import SUFFIXES
from wxr_plugin.data.images.sources import Source
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.wording import listed

LISTED = 5
"""Number of skipped files that are named; further ones are counted."""


def plan(sources: list[Source], output: Path, kind: str | None = None) -> dict[Path, Path]:
    """Map each result file to its photo, in natural order.

    `output` is the folder of the results, or for one photo the file of its result if it has an
    image's suffix. Below a folder, names and sub-folders are kept.

    Raises:
        WxrError: two photos would become one file; a result would lie next to photos (where a later
            command would take it for one) or replace its photo.
    """
    if not any(source.photos for source in sources):  # a shard may have none
        return {}
    if names_file(output):
        photo = _only_photo(sources, output)
        _check_file(photo, output, kind)
        return {output: photo}
    if output.exists() and not output.is_dir():
        raise WxrError(f"{output} is a file; -o names the folder for the results")
    jobs: dict[Path, Path] = {}
    for source in sources:
        for photo in source.photos:
            target = output / photo.relative_to(source.root)
            if kind != "same":
                target = target.with_suffix(f".{kind or 'png'}")
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
    return output.suffix.lower() in SUFFIXES


def result_kind(output: Path, kind: str | None) -> str:
    """Return the format of the results: --format, else that of the file that -o names, else png."""
    return kind or (output.suffix.lower().removeprefix(".") if names_file(output) else "png")


def skipped_line(files: list[Path]) -> str:
    """Return a line about `files`, which are not photos and are left out."""
    count = (
        "1 file that is no photo" if len(files) == 1 else f"{len(files)} files that are no photos"
    )
    return f"skipped {count}: {listed([file.name for file in files], LISTED)}"


def _only_photo(sources: list[Source], output: Path) -> Path:
    """Return the photo for the result file `output`; refuse several photos."""
    if output.is_dir():
        raise WxrError(
            f"{output} is a folder, but has the name of an image; rename it, or choose another "
            "name with -o"
        )
    photos = [photo for source in sources for photo in source.photos]
    if len(photos) > 1:
        raise WxrError(
            f"-o {output} names one file, and there are {len(photos)} photos; name a folder with -o"
        )
    return photos[0]


def _check_file(photo: Path, output: Path, kind: str | None) -> None:
    """Raise WxrError if the result of `photo` cannot be the file `output`."""
    suffix = output.suffix.lower()
    if kind and suffix != (photo.suffix.lower() if kind == "same" else f".{kind}"):
        raise WxrError(f"--format {kind} and -o {output} ask for two formats; leave --format out")
    if realpath(output) == realpath(photo):
        raise WxrError(
            f"{photo} would be overwritten by its own result; choose another name with -o"
        )
    if realpath(output.parent) == realpath(photo.parent) and output.stem == photo.stem:
        raise WxrError(
            f"{output} and {photo} would be two photos of one name in one folder, which later "
            "commands refuse; choose another name, for example "
            f"-o {output.with_stem(output.stem + '_restored')}"
        )


def _refuse_own_folders(jobs: dict[Path, Path]) -> None:
    """Raise WxrError if a result would lie in a folder that holds one of the photos."""
    folders = {realpath(photo.parent) for photo in jobs.values()}
    for target, photo in jobs.items():
        if realpath(target.parent) in folders:
            raise WxrError(
                f"the result of {photo} would lie next to photos, as {target}, where later "
                "commands would take it for one; choose another folder with -o"
            )
