"""Test sets: the known ones, where their photos lie, and the pairs of a folder."""

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
    """Where photos lie: `lq` matches their paths, `gt` those of the ground truth, from the same folder."""

    lq: str
    gt: str | None = None


class KnownSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published test set; sets.yml says what the fields mean."""

    title: str
    task: str
    count: int
    paper: str
    source: str
    layouts: list[Layout]
    note: str = ""
    trained_on: str = ""
    unsure: str = ""


class Photo(NamedTuple):
    """A photo of a set: its name, unique there, its file, and that of its ground truth."""

    name: str
    lq: Path
    gt: Path | None


class BenchmarkSet(NamedTuple):
    """A set as it is measured."""

    name: str
    title: str
    task: str
    photos: list[Photo]
    whole: int
    """Photos before `limit`."""
    known: KnownSet | None = None

    @property
    def has_gt(self) -> bool:
        """Whether there is a ground truth."""
        return any(photo.gt for photo in self.photos)


@cache
def known_sets() -> dict[str, KnownSet]:
    """The known sets by name."""
    return msgspec.convert(
        yaml.safe_load(SETS_FILE.read_text(encoding="utf-8")), dict[str, KnownSet]
    )


def find_set(name: str, options: SetOptions, folder: Path) -> BenchmarkSet:
    """The photos of one entry under `sets`.

    The packaged ones lie in the benchmark's `folder`, after `write_packaged`.

    Raises WxrError: no such known set, no photos, photos without partner, or another number than
    there should be.
    """
    packaged = options.set == PACKAGED
    known = None if options.lq or packaged else _known(options.set or name)
    if packaged:
        photos = [
            Photo(Path(file).stem, *(folder / PACKAGED / side / file for side in ("lq", "gt")))
            for file in held_out()
        ]
    else:
        photos = _photos(Path(options.root).expanduser(), known) if known else _own(options)
    wanted = options.count or (known and known.count)
    if wanted and len(photos) != wanted:
        told = (
            f"published are {wanted} ({known.source})"
            if known and not options.count
            else f"`count` says {wanted}"
        )
        raise WxrError(
            f"{len(photos)} photos in {options.root or options.lq}, {told}; mend the folder, or "
            f"set count: "
            f"{len(photos)} if these are what you mean to measure"
        )
    title, task = (
        options.title or (known.title if known else name),
        options.task or (known.task if known else ""),
    )
    return BenchmarkSet(name, title, task, spread(photos, options.limit), len(photos), known)


def write_packaged(folder: Path) -> None:
    """Write the packaged photos into the benchmark's `folder`, unless they are there."""
    if not all(
        (folder / PACKAGED / side / file).is_file() for file in held_out() for side in ("lq", "gt")
    ):
        write_held_out(folder / PACKAGED)


def spread(photos: list[Photo], most: int | None) -> list[Photo]:
    """Up to `most` photos, evenly over all of them; the same ones every time."""
    if not most or most >= len(photos):
        return photos
    return [photos[number * len(photos) // most] for number in range(most)]


def _known(name: str) -> KnownSet:
    if name not in known_sets():
        raise WxrError(
            f"no known set {name!r}; {suggest(name, known_sets(), 'there are')}; or name lq (and "
            f"gt)"
        )
    return known_sets()[name]


def _photos(root: Path, known: KnownSet) -> list[Photo]:
    files = keyed(root, list_images(root))
    wrong = None
    for layout in known.layouts:
        pattern = re.compile(rf"(?P<base>(?:.*/)?){layout.lq}")
        found = {key: match for key in sorted(files) if (match := pattern.fullmatch(key))}
        try:
            if found:
                return _of_layout(root, files, layout, found)
        except WxrError as error:  # of the layouts that fit, the first tells what is missing
            wrong = wrong or error
    if wrong:
        raise wrong
    raise WxrError(
        f"{root}: no photos as {known.title} has them (looked for {known.layouts[0].lq}); name its "
        f"folder"
    )


def _of_layout(
    root: Path, files: Mapping[str, Path], layout: Layout, found: Mapping[str, re.Match]
) -> list[Photo]:
    bases = sorted({match["base"] for match in found.values()}) if layout.lq != ".+" else [""]
    if len(bases) > 1:
        raise WxrError(
            f"{root}: photos in several folders ({', '.join(base or '.' for base in bases[:3])}); "
            f"name one"
        )
    start = len(_fixed_folder(bases[0], list(found)))
    partners = {
        key: files.get(match["base"] + match.expand(layout.gt or ""))
        for key, match in found.items()
    }
    photos = [Photo(key[start:], files[key], partners[key]) for key in found]
    without = [photo.name for photo in photos if layout.gt and photo.gt is None]
    if without:
        raise WxrError(
            f"{root}: {listed(without)} without ground truth (looked for {layout.gt}); get the "
            f"whole set"
        )
    return photos


def _fixed_folder(base: str, keys: list[str]) -> str:
    """The folders below `base` that all photos share, which their names need not repeat."""
    parts = [key.removeprefix(base).split("/")[:-1] for key in (min(keys), max(keys))]
    shared = []
    for one, other in zip(*parts):
        if one != other:
            break
        shared.append(f"{one}/")
    return base + "".join(shared)


def _own(options: SetOptions) -> list[Photo]:
    lq = keyed(Path(options.lq).expanduser(), list_images(Path(options.lq).expanduser()))
    if not lq:
        raise WxrError(f"{options.lq}: no images in it; name a folder of photos")
    if not options.gt:
        return [Photo(key, file, None) for key, file in sorted(lq.items())]
    root = Path(options.gt).expanduser()
    gt = keyed(root, list_images(root))
    partners = {key: partner(key, options.gt_tmpl, options.filename_tmpl) for key in sorted(lq)}
    without = [key for key, other in partners.items() if other not in gt]
    if without:
        raise WxrError(
            f"{root}: no ground truth for {listed(without)} (looked for {partners[without[0]]}); "
            f"set gt_tmpl"
        )
    return [Photo(key, lq[key], gt[other]) for key, other in partners.items()]
