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
        cls = class_of("dataset", dataset)
        unpaired = getattr(cls, "unpaired", None)
        # A dataset may hold its images in inner blocks, such as `paired` and `real`.
        for keys, inner in inner_blocks(("datasets", name), dataset):
            check_paths(report, keys, inner)
            if is_paired(dataset, inner):
                check_pairs(report, keys, inner, unpaired)


def is_paired(dataset: OptionMap, block: OptionMap) -> bool:
    """Return whether `block` of a dataset holds image pairs.

    Sets of clips and of third parties pair by rules of their own and do not count.
    """
    if "num_frame" in block:
        return False
    cls = class_of("dataset", dataset)
    if cls is None or stock.of_dataset(cls) is None:
        return False
    gt, lq = block.get("dataroot_gt"), block.get("dataroot_lq")
    return isinstance(gt, str) and isinstance(lq, str)


def check_paths(report: Report, keys: Keys, block: OptionMap) -> None:
    """Check that the roots and lists of images exist, and that LMDBs are LMDBs."""
    backend = block.get("io_backend")
    needs_lmdb = isinstance(backend, Mapping) and backend.get("type") == "lmdb"
    for key, value in block.items():
        place = (*keys, key)
        if str(key).startswith("dataroot"):
            for root_place, root in _roots(place, value):
                check_root(report, root_place, root, needs_lmdb)
        elif key in LISTING_KEYS and isinstance(value, str):
            _check_listing(report, place, value)


def _check_listing(report: Report, keys: Keys, file: str) -> None:
    """Check that the file that lists the images of a block exists."""
    # os.path.isfile returns False for a name that is too long.
    exists = os.path.isfile(Path(file).expanduser())
    if not exists:
        fix = "correct the path or create the file"
        report.add(keys, f"{file} does not exist", fix)


def _roots(keys: Keys, value: Any) -> Iterator[tuple[Keys, str]]:
    """Yield place and path of the folders of a dataroot: one, a list, or a block of several."""
    if isinstance(value, str):
        yield keys, value
        return
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        # A wrong type is reported by the check of fields.
        return
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
        alternative = _or_remove(report, keys)
        fix = build if is_lmdb else f"correct the path{alternative}"
        report.add(keys, f"{root[:200]} does not exist", fix)
    elif not os.path.isdir(path):
        report.add(keys, f"{root} is not a folder", "name the folder that holds the images")
    elif is_lmdb:
        _check_lmdb(report, keys, root, build)
    elif not any(path.iterdir()):
        report.add(keys, f"{root} is empty", "put the images there or correct the path")


def _check_lmdb(report: Report, keys: Keys, root: str, build: str) -> None:
    """Check that an LMDB is complete and that none of its keys leads out of a folder.

    `build` is the advice to build it.
    """
    path = Path(root).expanduser()
    is_finished = all((path / file).is_file() for file in LMDB_FILES)
    if not is_finished:
        fault = f"{root} lacks {' or '.join(LMDB_FILES)}, so it is not a finished LMDB"
        report.add(keys, fault, build)
        return
    # A line is `name.png (height,width,channels) compression`; the key is the name's stem.
    stems = []
    for line in _meta_lines(path):
        name = line.split(" (")[0]
        stems.append(name.rpartition(".")[0] or name)
    try:
        refuse_unsafe_keys(path, stems)
        refuse_cut_database(path)
    except WxrError as error:
        fault, _, fix = str(error).partition("; ")
        report.add(keys, fault, fix)


def _or_remove(report: Report, keys: Keys) -> str:
    """Return the advice that a validation set of a training may be removed; "" for other sets."""
    # keys: datasets, name of the set, key in its block
    if not report.is_train or len(keys) < 2:
        return ""
    name = keys[1]
    if phase_of(name) != "val":
        return ""
    return f", or remove datasets.{name}"


def listing_of(block: OptionMap) -> Path | None:
    """Return the text file that lists the images of a block; None if it names none."""
    for key in LISTING_KEYS:
        file = block.get(key)
        if isinstance(file, str):
            return Path(file).expanduser()
    return None


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
    gt = Path(block["dataroot_gt"]).expanduser()
    lq = Path(block["dataroot_lq"]).expanduser()
    listing = listing_of(block)
    # check_paths reports missing files.
    if not os.path.isdir(gt) or not os.path.isdir(lq):
        return
    if listing and not os.path.isfile(listing):
        return
    template = block.get("filename_tmpl", "{}")
    if not is_template(template):
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
        # BasicSR pairs by key whatever the list says.
        _check_same(report, keys, lmdb_keys(gt), lmdb_keys(lq), block, OTHERWISE)
    elif listing:
        pairs = listed_pairs(listing, block)
        _check_listed(report, keys, pairs, listing, gt, lq)
    else:
        partners = {lq_name(name, block) for name in file_names(gt)}
        existing = set(file_names(lq))
        fix = pairing_fix(gt, lq, block)
        _check_same(report, keys, partners, existing, block, fix)


def lmdb_keys(root: Path) -> set[str]:
    """Return the keys in the meta_info.txt of an LMDB, as BasicSR reads them; none without it."""
    lines = _meta_lines(root)
    return {line.split(".")[0] for line in lines}


def _meta_lines(root: Path) -> list[str]:
    """Return the lines of an LMDB's meta_info.txt that are not empty; none without the file."""
    meta = root / "meta_info.txt"
    if not meta.is_file():
        return []
    text = meta.read_text(encoding="utf-8", errors="replace")
    return [line for line in text.splitlines() if line]


def file_names(root: Path) -> list[str]:
    """Return the files of a folder, without hidden ones, as BasicSR lists them."""
    names = []
    for path in root.iterdir():
        is_hidden = path.name.startswith(".")
        if path.is_file() and not is_hidden:
            names.append(path.name)
    return sorted(names)


def lq_name(gt: str, block: OptionMap) -> str:
    """Return the file name of the partner of `gt`, by the template of `block` (`{}x4`)."""
    template = block.get("filename_tmpl", "{}")
    path = Path(gt)
    return template.format(path.stem) + path.suffix


def is_template(template: Any) -> bool:
    """Return whether `template` turns one name into another."""
    try:
        return "name" in template.format("name")
    except (AttributeError, KeyError, IndexError, ValueError):
        return False


def listed_pairs(listing: Path, block: OptionMap) -> list[tuple[str, str]]:
    """Return (gt, lq) of each line of a meta_info file: `gt (h,w,c)`, or `gt, lq`."""
    pairs = []
    for line in listing.read_text().splitlines():
        line = line.strip()
        if not line:
            continue
        gt, comma, lq = line.partition(", ")
        if not comma:
            # The name of gt, and its shape.
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
    """Check that both images of each listed pair exist."""
    gt_names = [name for name, _ in pairs]
    lq_names = [name for _, name in pairs]
    sides = (("dataroot_gt", gt, gt_names), ("dataroot_lq", lq, lq_names))
    for key, root, names in sides:
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
    """Report names or keys that are on one side only."""
    if gt == lq:
        return
    in_gt = f"{len(gt)} in dataroot_gt ({block['dataroot_gt']})"
    in_lq = f"{len(lq)} in dataroot_lq ({block['dataroot_lq']})"
    parts = [f"{in_gt}, {in_lq}"]
    only_gt = sorted(gt - lq)
    only_lq = sorted(lq - gt)
    if only_gt:
        parts.append(f"missing in dataroot_lq: {listed(only_gt)}")
    if only_lq:
        parts.append(f"without ground truth: {listed(only_lq)}")
    fault = "images do not pair: " + "; ".join(parts)
    report.add((*keys, "dataroot_lq"), fault, fix)
