"""Ground truth that is both trained and tested on, found by the content of the files."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.data.images.store import open_lmdb
from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks.components import registered
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.sets import PATH_KEYS, inner_blocks, listed_pairs, some
from wxr_plugin.utils.lmdb_cache import environment

Image = tuple[Path, str]
"""A file of a folder, or an entry of an LMDB: root and name."""

EDGE = 4096


def check_shared(report: Report, opt: Mapping[str, Any]) -> None:
    """Report ground-truth images of a validation set that are also in the training set, byte for byte."""
    datasets = opt.get("datasets")
    if not isinstance(datasets, Mapping) or opt.get("allow_shared_gt") is True:
        return
    training = _by_size(ground_truth(datasets.get("train"), training=True))
    for name, block in datasets.items():
        if name == "train" or not training:
            continue
        pairs = list(same_images(training, ground_truth(block)))
        if pairs:
            examples = some([f"{show(mine)} = {show(theirs)}" for mine, theirs in pairs])
            what = f"{len(pairs)} ground-truth images are also in datasets.train: {examples}"
            mend = "take them out of one of the sets, or set allow_shared_gt: true at the top of the file"
            key = (
                "dataroot" if "dataroot" in block and "dataroot_gt" not in block else "dataroot_gt"
            )
            report.add(("datasets", name, key), what, mend)


def ground_truth(dataset: Any, training: bool = False) -> Iterator[tuple[Image, int]]:
    """Every ground-truth image of a dataset block, with its size in bytes.

    Sets of clips are left out.

    It lies where `dataroot_gt` says, and where a class that has a layout of its own tells with
    `gt_roots`.
    """
    if not isinstance(dataset, Mapping):
        return
    for _, block in inner_blocks((), dataset):
        root = block.get("dataroot_gt")
        if (
            isinstance(root, str)
            and "num_frame" not in block
            and os.path.isdir(Path(root).expanduser())
        ):
            yield from _images(Path(root).expanduser(), block)
    own = getattr(registered("dataset").get(str(dataset.get("type"))), "gt_roots", None)
    for root in own(dataset, training) if own else ():
        yield from _images(root, {})


def _images(root: Path, block: Mapping[str, Any]) -> Iterator[tuple[Image, int]]:
    if root.suffix == ".lmdb":
        yield from _entries(root)
        return
    listing = next(
        (Path(block[key]).expanduser() for key in PATH_KEYS if isinstance(block.get(key), str)),
        None,
    )
    if listing and os.path.isfile(listing):
        files = [root / gt for gt, _ in listed_pairs(listing, {})]
    else:
        files = [file for file in sorted(root.rglob("*")) if not file.name.startswith(".")]
    for file in files:
        if file.is_file():
            yield (root, str(file.relative_to(root))), file.stat().st_size


def _entries(root: Path) -> Iterator[tuple[Image, int]]:
    if not (root / "data.mdb").is_file():
        return
    try:
        database = open_lmdb(root)
    except WxrError:  # check_sets reports it
        return
    with database.begin(buffers=True) as transaction:
        for key, value in transaction.cursor():
            yield (root, bytes(key).decode()), len(value)


def _by_size(images: Iterator[tuple[Image, int]]) -> dict[int, list[Image]]:
    found = defaultdict(list)
    for image, size in images:
        found[size].append(image)
    return found


def same_images(
    training: dict[int, list[Image]], images: Iterator[tuple[Image, int]]
) -> Iterator[tuple[Image, Image]]:
    """Pairs of an image of `images` and one of `training` with the same bytes.

    Only images of one size are read, and beyond their first and last 4 KiB only those that agree
    there.
    """
    edges: dict[Image, bytes] = {}
    for image, size in images:
        for other in training.get(size, ()):
            for each in (image, other):
                if each not in edges:
                    edges[each] = _digest(each, edge=True)
            if edges[image] == edges[other] and _digest(image) == _digest(other):
                yield image, other
                break


def _digest(image: Image, edge: bool = False) -> bytes:
    """SHA-256 of an image's bytes, or of its first and last 4 KiB."""
    root, name = image
    if root.suffix == ".lmdb":
        with environment(root).begin() as transaction:
            data = transaction.get(name.encode())
        return hashlib.sha256(data[:EDGE] + data[-EDGE:] if edge else data).digest()
    with (root / name).open("rb") as file:
        if not edge:
            return hashlib.file_digest(file, "sha256").digest()
        head = file.read(EDGE)
        file.seek(-min(EDGE, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return hashlib.sha256(head + file.read(EDGE)).digest()


def show(image: Image) -> str:
    """An image for a message."""
    root, name = image
    return str(root / name)
