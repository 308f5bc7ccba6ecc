"""Test sets: the known ones with the layouts of their folders, and pairs of other folders."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from wxr_plugin.benchmark.options import PACKAGED, SetOptions
from wxr_plugin.data.images.io import list_images
from wxr_plugin.data.images.store import keyed
from wxr_plugin.data.packaged_photos import held_out, write_held_out
from wxr_plugin.data.pairs import partner
from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks.report import suggest
from wxr_plugin.utils.wording import listed

SETS_FILE = resources.files(__package__) / "sets.yml"


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A layout of files: the pattern of photos, and the path of the ground truth of each.

    Attributes:
        lq: regular expression that matches the paths of photos below some folder.
        gt: path of the ground truth below the same folder, with the groups of `lq`.
    """

    lq: str
    gt: str | None = None


class KnownSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published test set; sets.yml explains the fields."""

    title: str
    task: str
    count: int
    paper: str
    source: str
    licence: str
    layouts: list[Layout]
    note: str = ""
    trained_on: str = ""
    unsure: str = ""


class Photo(NamedTuple):
    """A photo of a set: its name, unique in the set, its file, and that of its ground truth."""

    name: str
    lq: Path
    gt: Path | None


class BenchmarkSet(NamedTuple):
    """The photos of a set that are measured, and how the set is called."""

    name: str
    title: str
    task: str
    photos: list[Photo]
    whole: int
    """Number of photos before `limit`."""
    known_set: KnownSet | None = None

    @property
    def has_gt(self) -> bool:
        """Whether any photo has a ground truth."""
        return any(photo.gt for photo in self.photos)


@cache
def known_sets() -> dict[str, KnownSet]:
    """Return the known sets, keyed by name."""
    blocks = yaml.safe_load(SETS_FILE.read_text(encoding="utf-8"))
    return msgspec.convert(blocks, dict[str, KnownSet])


def find_set(name: str, options: SetOptions, folder: Path) -> BenchmarkSet:
    """Return the set of one entry under `sets`.

    The packaged photos are those that `write_packaged` writes into the benchmark's `folder`.

    Raises:
        WxrError: no such known set, no photos, photos without ground truth, or another number of
            photos than expected.
    """
    known_set = None
    title, task = name, ""
    if options.set == PACKAGED:
        photos = [Photo(lq.stem, lq, gt) for lq, gt in _packaged(folder)]
    elif options.lq:
        photos = _own_photos(options)
    else:
        known_set = _known_set(options.set or name)
        title, task = known_set.title, known_set.task
        photos = _photos(Path(options.root).expanduser(), known_set)
    _check_count(photos, options, known_set)
    return BenchmarkSet(
        name=name,
        title=options.title or title,
        task=options.task or task,
        photos=spread(photos, options.limit),
        whole=len(photos),
        known_set=known_set,
    )


def _check_count(photos: list[Photo], options: SetOptions, known_set: KnownSet | None) -> None:
    if options.count:
        expected = options.count
        source = f"`count` says {expected}"
    elif known_set:
        expected = known_set.count
        source = f"published are {expected} ({known_set.source})"
    else:
        return
    count = len(photos)
    if count != expected:
        raise WxrError(
            f"{count} photos in {options.root or options.lq}, {source}; fix the folder, or set "
            f"count: {count} if these are the photos to measure"
        )


def write_packaged(folder: Path) -> None:
    """Write the packaged photos into the benchmark's `folder`, unless they exist."""
    files = [file for pair in _packaged(folder) for file in pair]
    if not all(file.is_file() for file in files):
        write_held_out(folder / PACKAGED)


def _packaged(folder: Path) -> list[tuple[Path, Path]]:
    lq = folder / PACKAGED / "lq"
    gt = folder / PACKAGED / "gt"
    return [(lq / file, gt / file) for file in held_out()]


def spread(photos: list[Photo], most: int | None) -> list[Photo]:
    """Return up to `most` photos, spread evenly over all of them; the same ones every time."""
    if not most or most >= len(photos):
        return photos
    count = len(photos)
    return [photos[number * count // most] for number in range(most)]


def _known_set(name: str) -> KnownSet:
    if name not in known_sets():
        raise WxrError(
            f"no known set {name!r}; {suggest(name, known_sets(), 'there are')}; or name lq (and "
            f"gt)"
        )
    return known_sets()[name]


def _photos(root: Path, known_set: KnownSet) -> list[Photo]:
    """Return the photos of a known set in the first of its layouts that `root` has."""
    files = keyed(root, list_images(root))
    first_error = None
    for layout in known_set.layouts:
        # The photos may be in any folder below `root`, as people unpack archives differently.
        pattern = re.compile(rf"(?P<base>(?:.*/)?){layout.lq}")
        matches = {}
        for key in sorted(files):
            match = pattern.fullmatch(key)
            if match:
                matches[key] = match
        if not matches:
            continue
        try:
            return _of_layout(root, files, layout, matches)
        except WxrError as error:  # another layout may fit; else the first error is the best hint
            first_error = first_error or error
    if first_error:
        raise first_error
    raise WxrError(
        f"{root}: no photos as {known_set.title} has them (looked for "
        f"{known_set.layouts[0].lq}); name its folder"
    )


def _of_layout(
    root: Path,
    files: Mapping[str, Path],
    layout: Layout,
    matches: Mapping[str, re.Match],
) -> list[Photo]:
    # The pattern ".+" leaves every folder to `base`; then all folders below `root` are one set.
    bases = [""]
    if layout.lq != ".+":
        bases = sorted({match["base"] for match in matches.values()})
    if len(bases) > 1:
        raise WxrError(
            f"{root}: photos in several folders ({', '.join(base or '.' for base in bases[:3])}); "
            f"name one"
        )
    start = len(_shared_folder(bases[0], list(matches)))
    photos = []
    for key, match in matches.items():
        # Layouts without ground truth give the key of the folder, which is no file.
        gt_key = match["base"] + match.expand(layout.gt or "")
        photo = Photo(key[start:], files[key], files.get(gt_key))
        photos.append(photo)
    without = [photo.name for photo in photos if layout.gt and photo.gt is None]
    if without:
        raise WxrError(
            f"{root}: {listed(without)} without ground truth (looked for {layout.gt}); get the "
            f"whole set"
        )
    return photos


def _shared_folder(base: str, keys: list[str]) -> str:
    """Return the folder below `base` that all photos share, which their names need not repeat."""
    # All keys between the smallest and the largest start with the folders that these two share.
    first = min(keys).removeprefix(base)
    last = max(keys).removeprefix(base)
    *first_folders, _ = first.split("/")
    *last_folders, _ = last.split("/")
    shared = ""
    for first_folder, last_folder in zip(first_folders, last_folders):
        if first_folder != last_folder:
            break
        shared += f"{first_folder}/"
    return base + shared


def _own_photos(options: SetOptions) -> list[Photo]:
    """Return the photos of `lq`, with their ground truth of `gt` if that is set."""
    folder = Path(options.lq).expanduser()
    lq = keyed(folder, list_images(folder))
    if not lq:
        raise WxrError(f"{options.lq}: no images in it; name a folder of photos")
    keys = sorted(lq)
    if not options.gt:
        return [Photo(key, lq[key], None) for key in keys]
    root = Path(options.gt).expanduser()
    gt = keyed(root, list_images(root))
    # `partner` finds a photo by its ground truth; with the templates exchanged, the reverse.
    partners = {key: partner(key, options.gt_tmpl, options.filename_tmpl) for key in keys}
    without = [key for key, gt_key in partners.items() if gt_key not in gt]
    if without:
        example = partners[without[0]]
        raise WxrError(
            f"{root}: no ground truth for {listed(without)} (looked for {example}); set gt_tmpl"
        )
    return [Photo(key, lq[key], gt[gt_key]) for key, gt_key in partners.items()]
