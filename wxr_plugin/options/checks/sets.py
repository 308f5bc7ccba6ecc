"""Check the files of the datasets: whether they exist, and whether every image has its partner."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.data.images.store import refuse_cut_database
from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import class_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.suggestions import OTHERWISE, pairing_fix
from wxr_plugin.options.nested import Keys, OptionMap, dataset_blocks, inner_blocks, phase_of
from wxr_plugin.utils.safe_paths import refuse_unsafe_keys
from wxr_plugin.utils.wording import listed

LISTING_KEYS = ("meta_info", "meta_info_file")
"""Keys with a text file that lists the images of a folder."""
LMDB_FILES = ("data.mdb", "meta_info.txt")
"""Files of a finished LMDB."""


def check_sets(report: Report, opt: OptionMap) -> None:
    """Check the paths and the pairs of every dataset block."""
    for name, dataset in dataset_blocks(opt):
        # A dataset may hold its images in inner blocks, such as `paired` and `real`.
        for keys, inner in inner_blocks(("datasets", name), dataset):
            check_paths(report, keys, inner)
            if is_paired(dataset, inner):
                unpaired = getattr(class_of("dataset", dataset), "unpaired", None)
                check_pairs(report, keys, inner, unpaired)


def is_paired(dataset: OptionMap, block: OptionMap) -> bool:
    """Return whether `block` of a dataset holds image pairs.

    Sets of clips and of third parties pair by rules of their own and do not count.
    """
    cls = class_of("dataset", dataset)
    roots = (block.get("dataroot_gt"), block.get("dataroot_lq"))
    is_image_set = "num_frame" not in block
    is_declared = cls is not None and stock.of_dataset(cls) is not None
    return is_declared and is_image_set and all(isinstance(root, str) for root in roots)


def check_paths(report: Report, keys: Keys, block: OptionMap) -> None:
    """Check that the roots and lists of images exist, and that LMDBs are LMDBs."""
    backend = block.get("io_backend")
    needs_lmdb = isinstance(backend, Mapping) and backend.get("type") == "lmdb"
    for key, value in block.items():
        if str(key).startswith("dataroot"):
            for place, root in _roots((*keys, key), value):
                check_root(report, place, root, needs_lmdb)
        elif key in LISTING_KEYS and isinstance(value, str) and not _is_file(value):
            fix = "correct the path or create the file"
            report.add((*keys, key), f"{value} does not exist", fix)


def _is_file(path: str) -> bool:
    return os.path.isfile(Path(path).expanduser())


def _roots(keys: Keys, value: Any) -> Iterator[tuple[Keys, str]]:
    """Yield place and path of the folders of a dataroot: one, a list, or a block of several."""
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, Mapping | list):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in items:
            yield from _roots((*keys, key), item)


def check_root(report: Report, keys: Keys, root: str, needs_lmdb: bool) -> None:
    """Check that `root` is a folder, or an LMDB if one is needed or the name ends in .lmdb."""
    path = Path(root).expanduser()
    is_lmdb = root.endswith(".lmdb")
    name = root if is_lmdb else root.rstrip("/") + ".lmdb"
    build = f"build one: wxr lmdb build FOLDER {name}"
    if needs_lmdb and not is_lmdb:
        fault = f"{root} is not an LMDB, which io_backend needs: its name must end in .lmdb"
        report.add(keys, fault, build)
    elif not os.path.exists(path):  # Path.exists raises for a name that is too long
        correct = f"correct the path{_or_remove(report, keys)}"
        report.add(keys, f"{root[:200]} does not exist", build if is_lmdb else correct)
    elif not os.path.isdir(path):
        report.add(keys, f"{root} is not a folder", "name the folder that holds the images")
    elif is_lmdb and not all((path / file).is_file() for file in LMDB_FILES):
        fault = f"{root} lacks {' or '.join(LMDB_FILES)}, so it is not a finished LMDB"
        report.add(keys, fault, build)
    elif is_lmdb:
        _check_lmdb(report, keys, path)
    elif not any(path.iterdir()):
        report.add(keys, f"{root} is empty", "put the images there or correct the path")


def _check_lmdb(report: Report, keys: Keys, path: Path) -> None:
    """Check that a finished LMDB is complete and that none of its keys leads out of a folder."""
    names = [line.split(" (")[0] for line in _meta_lines(path)]
    stems = [name.rpartition(".")[0] or name for name in names]
    try:
        refuse_unsafe_keys(path, stems)
        refuse_cut_database(path)
    except WxrError as error:
        fault, _, fix = str(error).partition("; ")
        report.add(keys, fault, fix)


def _or_remove(report: Report, keys: Keys) -> str:
    """Return the advice that a validation set of a training may be removed; "" for other sets."""
    # keys: datasets, name of the set, key in its block
    if report.is_train and len(keys) > 1 and phase_of(keys[1]) == "val":
        return f", or remove datasets.{keys[1]}"
    return ""


def listing_of(block: OptionMap) -> Path | None:
    """Return the text file that lists the images of a block; None if it names none."""
    files = [block[key] for key in LISTING_KEYS if isinstance(block.get(key), str)]
    return Path(files[0]).expanduser() if files else None


def check_pairs(
    report: Report,
    keys: Keys,
    block: OptionMap,
    unpaired: Callable[[OptionMap], str] | None = None,
) -> None:
    """Check that dataroot_gt and dataroot_lq hold the same images.

    Args:
        report: receives the problems.
        keys: path of the block.
        block: a block with two roots: folders, LMDBs, or folders whose images a list names.
        unpaired: returns what does not pair in a block, of a dataset with rules of its own.
    """
    gt, lq = (Path(block[key]).expanduser() for key in ("dataroot_gt", "dataroot_lq"))
    listing = listing_of(block)
    # check_paths reports missing files.
    if not os.path.isdir(gt) or not os.path.isdir(lq):
        return
    if listing and not os.path.isfile(listing):
        return
    if not is_template(block.get("filename_tmpl", "{}")):
        fix = "write {} for the name of gt: '{}x4'"
        report.add((*keys, "filename_tmpl"), "not a template of file names", fix)
        return
    has_lmdb = ".lmdb" in (gt.suffix, lq.suffix)
    if unpaired:
        fault = unpaired(block)
        if fault:
            fix = OTHERWISE if has_lmdb else pairing_fix(gt, lq, block, has_gt_template=True)
            report.add((*keys, "dataroot_lq"), fault, fix)
    elif has_lmdb:
        _check_same(report, keys, lmdb_keys(gt), lmdb_keys(lq), block, OTHERWISE)
    elif listing:
        _check_listed(report, keys, listed_pairs(listing, block), listing, gt, lq)
    else:
        partners = {lq_name(name, block) for name in file_names(gt)}
        fix = pairing_fix(gt, lq, block)
        _check_same(report, keys, partners, set(file_names(lq)), block, fix)


def lmdb_keys(root: Path) -> set[str]:
    """Return the keys in the meta_info.txt of an LMDB, as BasicSR reads them; none without it."""
    return {line.split(".")[0] for line in _meta_lines(root)}


def _meta_lines(root: Path) -> list[str]:
    meta = root / "meta_info.txt"
    text = meta.read_text(encoding="utf-8", errors="replace") if meta.is_file() else ""
    return [line for line in text.splitlines() if line]


def file_names(root: Path) -> list[str]:
    """Return the files of a folder, without hidden ones, as BasicSR lists them."""
    files = [path for path in root.iterdir() if path.is_file()]
    return sorted(path.name for path in files if not path.name.startswith("."))


def lq_name(gt: str, block: OptionMap) -> str:
    """Return the file name of the partner of `gt`, by the template of `block` (`{}x4`)."""
    template = block.get("filename_tmpl", "{}")
    return template.format(Path(gt).stem) + Path(gt).suffix


def is_template(template: Any) -> bool:
    """Return whether `template` turns one name into another."""
    try:
        return "name" in template.format("name")
    except (AttributeError, KeyError, IndexError, ValueError):
        return False


def listed_pairs(listing: Path, block: OptionMap) -> list[tuple[str, str]]:
    """Return (gt, lq) of each line of a meta_info file: `gt (h,w,c)`, or `gt, lq`."""
    pairs = []
    for line in filter(None, map(str.strip, listing.read_text().splitlines())):
        gt, comma, lq = line.partition(", ")
        if not comma:
            gt = line.split(" ")[0]
            lq = lq_name(gt, block)
        pairs.append((gt, lq))
    return pairs


def _check_listed(
    report: Report,
    keys: Keys,
    pairs: list[tuple[str, str]],
    listing: Path,
    gt: Path,
    lq: Path,
) -> None:
    gt_names, lq_names = zip(*pairs) if pairs else ((), ())
    for key, root, names in (("dataroot_gt", gt, gt_names), ("dataroot_lq", lq, lq_names)):
        absent = [name for name in names if not (root / name).is_file()]
        if absent:
            count = f"{len(absent)} of the {len(names)} images that {listing} lists"
            fault = f"{count} are missing: {listed(absent)}"
            report.add((*keys, key), fault, "correct the path or the list")


def _check_same(
    report: Report,
    keys: Keys,
    gt: set[str],
    lq: set[str],
    block: OptionMap,
    fix: str,
) -> None:
    if gt == lq:
        return
    in_gt = f"{len(gt)} in dataroot_gt ({block['dataroot_gt']})"
    in_lq = f"{len(lq)} in dataroot_lq ({block['dataroot_lq']})"
    parts = [f"{in_gt}, {in_lq}"]
    if gt - lq:
        parts.append(f"missing in dataroot_lq: {listed(sorted(gt - lq))}")
    if lq - gt:
        parts.append(f"without ground truth: {listed(sorted(lq - gt))}")
    report.add((*keys, "dataroot_lq"), "images do not pair: " + "; ".join(parts), fix)
