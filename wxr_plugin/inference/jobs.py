"""Which photos are to be restored, and into which files."""

from pathlib import Path

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.frames import UNPACK, in_order, refuse_video

FORMATS = ("png", "jpg", "webp", "same")
"""Of results; `same` is each photo's own."""


def plan(sources: list[Path], output: Path, kind: str = "png") -> dict[Path, Path]:
    """Map each result file to its photo, those of a folder in the order in which people count.

    Names are kept, and so are the folders below a source. Results that lie in a source are not taken for photos.
    Raises WxrError for two photos that would write one file, and for sources that hold none.
    """
    if output.exists() and not output.is_dir():
        raise WxrError(f"{output} is a file; -o names the folder for the results")
    jobs: dict[Path, Path] = {}
    for source in sources:
        for photo, name in _photos(source, output):
            target = output / (name if kind == "same" else name.with_suffix(f".{kind}"))
            if target in jobs:
                mend = "" if kind == "same" else " or with --format same"
                raise WxrError(f"{photo} and {jobs[target]} would both become {target}; restore them apart{mend}")
            if target.resolve() == photo.resolve():
                raise WxrError(f"{photo} would be overwritten by its own result; choose another folder with -o")
            jobs[target] = photo
    return jobs


def _photos(source: Path, output: Path) -> list[tuple[Path, Path]]:
    """Photos of a file or folder, each with its name below the output."""
    from wxr_plugin.data.image_io import SUFFIXES, list_images

    if not source.exists():
        raise WxrError(f"{source}: no such file or folder")
    refuse_video(source)
    if not source.is_dir():
        return [(source, Path(source.name))]
    results = output.resolve()
    photos = list_images(source)
    if results != source.resolve() and results.is_relative_to(source.resolve()):
        photos = [photo for photo in photos if not photo.resolve().is_relative_to(results)]
    if not photos:
        raise WxrError(f"{source}: no images in this folder (looked for {', '.join(SUFFIXES)}); {UNPACK}")
    return [(photo, photo.relative_to(source)) for photo in in_order(photos)]
