"""The files of the datasets: are they there, and does every image have its partner?"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.data.images.store import refuse_cut_database
from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import registered
from wxr_plugin.options.checks.report import Keys, Report
from wxr_plugin.options.checks.suggestions import OTHERWISE, pairing_fix
from wxr_plugin.utils.safe_paths import refuse_unsafe_keys

PATH_KEYS = ("meta_info", "meta_info_file")


def check_sets(report: Report, opt: Mapping[str, Any]) -> None:
    """Check the paths and the pairs of every dataset block."""
    datasets = opt.get("datasets")
    for name, block in datasets.items() if isinstance(datasets, Mapping) else ():
        if not isinstance(block, Mapping):
            continue
        for keys, inner in inner_blocks(("datasets", str(name)), block):
            check_paths(report, keys, inner)
            if is_paired(block, inner):
                check_pairs(
                    report,
                    keys,
                    inner,
                    getattr(registered("dataset")[block["type"]], "unpaired", None),
                )


def inner_blocks(keys: Keys, block: Mapping[str, Any]) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
    """`block` and every block inside it, with their key paths."""
    yield keys, block
    for key, value in block.items():
        if isinstance(value, Mapping):
            yield from inner_blocks((*keys, key), value)


def is_paired(dataset: Mapping[str, Any], block: Mapping[str, Any]) -> bool:
    """Whether `block` of a dataset holds image pairs.

    Sets of clips and of third parties may pair as they like.
    """
    cls = registered("dataset").get(str(dataset.get("type")))
    roots = (block.get("dataroot_gt"), block.get("dataroot_lq"))
    known = cls is not None and stock.of_dataset(cls) is not None and "num_frame" not in block
    return known and all(isinstance(root, str) for root in roots)


def check_paths(report: Report, keys: Keys, block: Mapping[str, Any]) -> None:
    """Check that the roots and lists of images exist, and that LMDBs are LMDBs."""
    backend = block.get("io_backend")
    wants_lmdb = isinstance(backend, Mapping) and backend.get("type") == "lmdb"
    for key, value in block.items():
        if str(key).startswith("dataroot"):
            for place, root in _roots((*keys, key), value):
                check_root(report, place, root, wants_lmdb)
        elif (
            key in PATH_KEYS
            and isinstance(value, str)
            and not os.path.isfile(Path(value).expanduser())
        ):
            report.add((*keys, key), f"{value} does not exist", "correct the path or make the file")


def _roots(keys: Keys, value: Any) -> Iterator[tuple[Keys, str]]:
    """The folders of a dataroot, which may be one, a list, or a block of several."""
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, Mapping | list):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _roots((*keys, key), item)


def check_root(report: Report, keys: Keys, root: str, wants_lmdb: bool) -> None:
    """Check that `root` is a folder, or an LMDB where one is wanted or its name says so."""
    path = Path(root).expanduser()
    build = f"build one: wxr lmdb build FOLDER {root if root.endswith('.lmdb') else root.rstrip('/') + '.lmdb'}"
    if wants_lmdb and not root.endswith(".lmdb"):
        report.add(
            keys,
            f"{root} is no LMDB (its name has to end in .lmdb), which io_backend asks for",
            build,
        )
    elif not os.path.exists(path):  # Path.exists raises at a name that is too long
        correct = f"correct the path{_or_remove(report, keys)}"
        report.add(
            keys, f"{root[:200]} does not exist", build if root.endswith(".lmdb") else correct
        )
    elif not os.path.isdir(path):
        report.add(keys, f"{root} is not a folder", "name the folder that holds the images")
    elif root.endswith(".lmdb") and not all(
        (path / name).is_file() for name in ("data.mdb", "meta_info.txt")
    ):
        report.add(
            keys, f"{root} lacks data.mdb or meta_info.txt, so it is not a finished LMDB", build
        )
    elif root.endswith(".lmdb"):
        _check_lmdb(report, keys, path)
    elif not any(path.iterdir()):
        report.add(keys, f"{root} is empty", "put the images there or correct the path")


def _check_lmdb(report: Report, keys: Keys, path: Path) -> None:
    """Check that a finished LMDB is whole and that none of its keys leads out of a folder."""
    names = [line.split(" (")[0] for line in _meta_lines(path)]
    try:
        refuse_unsafe_keys(path, [name.rpartition(".")[0] or name for name in names])
        refuse_cut_database(path)
    except WxrError as error:
        what, _, fix = str(error).partition("; ")
        report.add(keys, what, fix)


def _or_remove(report: Report, keys: Keys) -> str:
    """Return the advice that a validation set of a training may be left out; "" for other sets."""
    optional = report.is_train and len(keys) > 1 and str(keys[1]).split("_")[0] == "val"
    return f", or remove datasets.{keys[1]}" if optional else ""


def check_pairs(
    report: Report,
    keys: Keys,
    block: Mapping[str, Any],
    unpaired: Callable[[Mapping[str, Any]], str] | None = None,
) -> None:
    """Check that dataroot_gt and dataroot_lq (folders, LMDBs, or what a list names) hold the same images.

    A dataset that pairs by rules of its own says in `unpaired(block)` what does not pair.
    """
    gt, lq = (Path(block[key]).expanduser() for key in ("dataroot_gt", "dataroot_lq"))
    listing = next(
        (Path(block[key]).expanduser() for key in PATH_KEYS if isinstance(block.get(key), str)),
        None,
    )
    if not (os.path.isdir(gt) and os.path.isdir(lq)) or (listing and not os.path.isfile(listing)):
        return
    if not is_template(block.get("filename_tmpl", "{}")):
        report.add(
            (*keys, "filename_tmpl"),
            "no template for a file name",
            "write {} for the name of gt: '{}x4'",
        )
        return
    if unpaired:
        fault = unpaired(block)
        if fault:
            lmdbs = gt.suffix == ".lmdb" or lq.suffix == ".lmdb"
            fix = OTHERWISE if lmdbs else pairing_fix(gt, lq, block, has_gt_template=True)
            report.add((*keys, "dataroot_lq"), fault, fix)
    elif gt.suffix == ".lmdb" or lq.suffix == ".lmdb":
        _check_same(report, keys, lmdb_keys(gt), lmdb_keys(lq), block, OTHERWISE)
    elif listing:
        _check_listed(report, keys, block, listing, gt, lq)
    else:
        wanted = {lq_name(name, block) for name in file_names(gt)}
        _check_same(report, keys, wanted, set(file_names(lq)), block, pairing_fix(gt, lq, block))


def lmdb_keys(root: Path) -> set[str]:
    """Return the keys that the meta_info.txt of an LMDB lists, as BasicSR reads them; none without such a file."""
    return {line.split(".")[0] for line in _meta_lines(root)}


def _meta_lines(root: Path) -> list[str]:
    meta = root / "meta_info.txt"
    text = meta.read_text(encoding="utf-8", errors="replace") if meta.is_file() else ""
    return [line for line in text.splitlines() if line]


def file_names(root: Path) -> list[str]:
    """The files of a folder, without hidden ones, as BasicSR lists them."""
    return sorted(
        path.name for path in root.iterdir() if path.is_file() and not path.name.startswith(".")
    )


def lq_name(gt: str, block: Mapping[str, Any]) -> str:
    """The file name of the partner of `gt`, by the template of `block` (`{}x4`)."""
    return block.get("filename_tmpl", "{}").format(Path(gt).stem) + Path(gt).suffix


def is_template(template: Any) -> bool:
    """Whether `template` turns one name into another."""
    try:
        return "name" in template.format("name")
    except (AttributeError, KeyError, IndexError, ValueError):
        return False


def listed_pairs(listing: Path, block: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(gt, lq) of each line of a meta_info file: `gt (h,w,c)`, or `gt, lq`."""
    pairs = []
    for line in filter(None, map(str.strip, listing.read_text().splitlines())):
        gt, comma, lq = line.partition(", ")
        if not comma:
            gt = line.split(" ")[0]
            lq = lq_name(gt, block)
        pairs.append((gt, lq))
    return pairs


def _check_listed(
    report: Report, keys: Keys, block: Mapping[str, Any], listing: Path, gt: Path, lq: Path
) -> None:
    pairs = listed_pairs(listing, block)
    for key, root, names in (
        ("dataroot_gt", gt, [p[0] for p in pairs]),
        ("dataroot_lq", lq, [p[1] for p in pairs]),
    ):
        absent = [name for name in names if not (root / name).is_file()]
        if absent:
            what = f"{len(absent)} of the {len(names)} images that {listing} lists are not there: {some(absent)}"
            report.add((*keys, key), what, "correct the path or the list")


def _check_same(
    report: Report, keys: Keys, gt: set[str], lq: set[str], block: Mapping[str, Any], fix: str
) -> None:
    if gt == lq:
        return
    parts = [
        f"{len(gt)} in dataroot_gt ({block['dataroot_gt']}), {len(lq)} in it "
        f"({block['dataroot_lq']})"
    ]
    parts += [f"missing here: {some(sorted(gt - lq))}"] if gt - lq else []
    parts += [f"without ground truth: {some(sorted(lq - gt))}"] if lq - gt else []
    report.add((*keys, "dataroot_lq"), "images do not pair: " + "; ".join(parts), fix)


def some(names: list[str], most: int = 3) -> str:
    """The first `most` of `names`, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
