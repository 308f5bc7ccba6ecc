"""Find ground truth that is both trained and tested on, by the content of the files."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.data.images.store import open_lmdb
from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks.components import class_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.sets import listed_pairs, listing_of
from wxr_plugin.options.nested import OptionMap, inner_blocks
from wxr_plugin.utils.lmdb_cache import environment
from wxr_plugin.utils.wording import listed

Image = tuple[Path, str]
"""A file of a folder, or an entry of an LMDB: root and name."""

EDGE = 4096
"""Bytes at each end of a file that are compared first."""


def check_shared(report: Report, opt: OptionMap) -> None:
    """Report ground truth of a validation set that is also in the training set, byte for byte."""
    datasets = opt.get("datasets")
    if not isinstance(datasets, Mapping) or opt.get("allow_shared_gt") is True:
        return
    trained_images = ground_truth(datasets.get("train"), training=True)
    training = _by_size(trained_images)
    if not training:
        return
    for name, dataset in datasets.items():
        if name == "train":
            continue
        pairs = list(same_images(training, ground_truth(dataset)))
        if pairs:
            examples = listed([f"{show(image)} = {show(twin)}" for image, twin in pairs])
            fault = f"{len(pairs)} ground-truth images are also in datasets.train: {examples}"
            fix = "remove them from one of the sets, or set allow_shared_gt: true at the top level"
            has_one_root = "dataroot" in dataset and "dataroot_gt" not in dataset
            key = "dataroot" if has_one_root else "dataroot_gt"
            report.add(("datasets", name, key), fault, fix)


def ground_truth(dataset: Any, training: bool = False) -> Iterator[tuple[Image, int]]:
    """Yield every ground-truth image of a dataset block, with its size in bytes.

    Images come from `dataroot_gt` and from the `gt_roots` of a class with a layout of its own. Sets
    of clips are left out.
    """
    if not isinstance(dataset, Mapping):
        return
    for _, block in inner_blocks((), dataset):
        root = block.get("dataroot_gt")
        if not isinstance(root, str) or "num_frame" in block:
            continue
        path = Path(root).expanduser()
        if os.path.isdir(path):
            yield from _images(path, block)
    gt_roots = getattr(class_of("dataset", dataset), "gt_roots", None)
    if gt_roots:
        for root in gt_roots(dataset, training):
            yield from _images(root, {})


def _images(root: Path, block: OptionMap) -> Iterator[tuple[Image, int]]:
    """Yield the images below a folder, or those that the list of its block names."""
    if root.suffix == ".lmdb":
        yield from _entries(root)
        return
    listing = listing_of(block)
    if listing and os.path.isfile(listing):
        files = [root / gt for gt, _ in listed_pairs(listing, {})]
    else:
        paths = sorted(root.rglob("*"))
        files = [path for path in paths if not path.name.startswith(".")]
    for file in files:
        if file.is_file():
            name = str(file.relative_to(root))
            size = file.stat().st_size
            yield (root, name), size


def _entries(root: Path) -> Iterator[tuple[Image, int]]:
    """Yield the images of an LMDB; none if it is not finished."""
    if not (root / "data.mdb").is_file():
        return
    try:
        database = open_lmdb(root)
    except WxrError:  # check_sets reports it
        return
    # Buffers point into the database, so a value is not copied to learn its length.
    with database.begin(buffers=True) as transaction:
        for key, value in transaction.cursor():
            name = bytes(key).decode()
            yield (root, name), len(value)


def _by_size(images: Iterator[tuple[Image, int]]) -> dict[int, list[Image]]:
    groups = defaultdict(list)
    for image, size in images:
        groups[size].append(image)
    return groups


def same_images(
    training: dict[int, list[Image]], images: Iterator[tuple[Image, int]]
) -> Iterator[tuple[Image, Image]]:
    """Yield pairs of an image of `images` and one of `training` with the same bytes.

    Only images of equal size are read; beyond their first and last 4 KiB only if these are equal.
    """
    edges: dict[Image, bytes] = {}
    for image, size in images:
        for candidate in training.get(size, ()):
            for file in (image, candidate):
                if file not in edges:
                    edges[file] = _digest(file, edge=True)
            have_same_edges = edges[image] == edges[candidate]
            if have_same_edges and _digest(image) == _digest(candidate):
                yield image, candidate
                # One twin is enough for the message.
                break


def _digest(image: Image, edge: bool = False) -> bytes:
    """Return the SHA-256 of an image's bytes, or of its first and last 4 KiB."""
    root, name = image
    if root.suffix == ".lmdb":
        data = _entry(root, name)
        if edge:
            data = data[:EDGE] + data[-EDGE:]
        return hashlib.sha256(data).digest()
    with (root / name).open("rb") as file:
        if not edge:
            return hashlib.file_digest(file, "sha256").digest()
        head = file.read(EDGE)
        size = os.fstat(file.fileno()).st_size
        # The file may be shorter than EDGE.
        file.seek(-min(EDGE, size), os.SEEK_END)
        tail = file.read(EDGE)
    return hashlib.sha256(head + tail).digest()


def _entry(root: Path, name: str) -> bytes:
    """Return the value of an entry of an LMDB."""
    with environment(root).begin() as transaction:
        return transaction.get(name.encode())


def show(image: Image) -> str:
    """Return the path of an image for a message."""
    root, name = image
    return str(root / name)
