"""Photos, crops and label stores that the arguments of `wxr label` name."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wxr_plugin.cli.sharding import named_shard
from wxr_plugin.data.sharding import Shard, shard_keys
from wxr_plugin.data.weather.kinds import KINDS
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import check_parents

if TYPE_CHECKING:
    from wxr_plugin.data.real_photos import RealPhotos
    from wxr_plugin.labels.sources import Crops, Source
    from wxr_plugin.labels.store import LabelStore

ROOTS = (*KINDS, "clear")
"""Weathers whose photos may be named apart: --rain ROOT and so on."""


def default_store(photos: Path, shard: Shard | None = None) -> Path:
    """Return the default label store of a folder or LMDB: NAME.labels.lmdb next to it.

    A shard has a store of its own, NAME.labels.I-of-N.lmdb, since one process writes a store.
    """
    # The folder "." has no name of its own.
    photos = photos.absolute()
    part = f".{shard.number}-of-{shard.count}" if shard else ""
    return photos.with_name(f"{photos.name.removesuffix('.lmdb')}.labels{part}.lmdb")


def of_photos(args: argparse.Namespace) -> "Source":
    """Return the whole photos, or their crops with --boxes and --size."""
    from wxr_plugin.labels.sources import PhotoCrops, WholePhotos

    photos = named_photos(args)
    crops = named_crops(args)
    return PhotoCrops(photos, crops) if crops else WholePhotos(photos)


def of_labels(args: argparse.Namespace, store: "LabelStore") -> "Source":
    """Return the pseudo-labels of a store, for --pseudo-labels."""
    from wxr_plugin.labels.sources import PseudoLabelImages

    if args.boxes is not None or args.size is not None:
        raise WxrError("--pseudo-labels are taken as they are stored; leave out --boxes and --size")
    if named_shard(args):
        raise WxrError(
            "--pseudo-labels are those of one store: describe them in the store of each shard, "
            "and leave out --shard"
        )
    return PseudoLabelImages(store)


def count_images(source: "Source") -> int:
    """Return the number of images of a source."""
    return len(source) * source.group_size


def named_photos(args: argparse.Namespace) -> "RealPhotos":
    """Return the photos of PHOTOS, or of the roots by weather; with --shard those of the shard."""
    from wxr_plugin.data.real_photos import RealPhotos

    shard = named_shard(args)
    roots = _roots(args)
    # Exactly one of the two forms: PHOTOS, or roots by weather.
    if bool(roots) == bool(args.photos):
        raise WxrError(
            "name the photos: one folder or LMDB, or roots by weather (--rain, --haze, --snow, "
            "--clear)"
        )
    for root in (args.photos, *roots.values()):
        if root and root.is_file():
            raise WxrError(f"{root}: a file; name its folder")
    photos = RealPhotos(roots or args.photos)
    if photos.empty:
        empty = ", ".join(photos.empty)
        raise WxrError(f"{empty}: no images in it; put photos of this weather there, or remove it")
    if shard is None:
        return photos
    keys = photos.keys()
    chosen = shard_keys(keys, shard, photos.pixels)
    return photos.subset(key for key in keys if key in chosen)


def _roots(args: argparse.Namespace) -> dict[str, Path]:
    roots = {weather: getattr(args, weather) for weather in ROOTS}
    return {weather: root for weather, root in roots.items() if root is not None}


def named_crops(args: argparse.Namespace) -> "Crops | None":
    """Return the crops of --boxes and --size; None for whole photos."""
    from wxr_plugin.labels.sources import Crops

    if args.boxes is None and args.size is None:
        return None
    if args.boxes is None or args.size is None:
        raise WxrError(
            "--boxes and --size belong together: boxes_per_image and gt_size of the training set"
        )
    return Crops(at_least_one(args.boxes, "--boxes"), at_least_one(args.size, "--size"))


def store_path(args: argparse.Namespace) -> Path:
    """Return the path of the label store, which need not exist; refuse one that cannot be."""
    if args.output is None and args.photos is None:
        raise WxrError("name the label store: -o STORE")
    store = args.output or default_store(args.photos, named_shard(args))
    # Models load for minutes before the store is opened.
    check_parents(store)
    if store.is_file():
        raise WxrError(f"{store}: exists and is not a label store; give another name")
    return store


def store_state(store: Path) -> str:
    """Return the path of a store, and whether it exists."""
    return f"{store} ({'exists and is extended' if store.exists() else 'new'})"


def at_least_one(value: int, name: str) -> int:
    """Return `value`; raise WxrError if it is below 1."""
    if value < 1:
        raise WxrError(f"{name} must be 1 or more, not {value}")
    return value


def source_title(args: argparse.Namespace) -> str:
    """Return the name of the photos for a progress bar."""
    if describes_labels(args):
        return "pseudo-labels"
    return str(args.photos or ", ".join(map(str, _roots(args).values())))


def describes_labels(args: argparse.Namespace) -> bool:
    """Return whether pseudo-labels are described, not photos."""
    return getattr(args, "pseudo_labels", False)
