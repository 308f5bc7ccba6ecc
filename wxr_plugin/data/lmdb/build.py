"""Building an LMDB from a folder of images: original bytes or sub-images, resumable, locked."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
from filelock import FileLock, Timeout

from wxr_plugin.data.images.io import SUFFIXES, list_images
from wxr_plugin.data.images.store import META_INFO, keyed, refuse_cut_database
from wxr_plugin.data.lmdb.entries import convert
from wxr_plugin.data.lmdb.journal import Journal, Plan, Row
from wxr_plugin.errors import WxrError
from wxr_plugin.utils import files, lmdb_cache
from wxr_plugin.utils.progress import batches

_BATCH = 32
_KEY_BYTES = 511


@dataclass
class BuildResult:
    """Outcome of a build."""

    images: int
    """Number of images in the LMDB."""
    already_built: bool
    """Whether an earlier build had finished, so that nothing was written."""
    bad: list[str] = field(default_factory=list)
    """One line for each file that was left out: its name and the reason."""
    damage: str = ""
    """Damage of an earlier data.mdb that was therefore built again; empty if there was none."""


def build(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    crop_size: int = 0,
    step: int = 0,
    max_bad: int = 10,
    workers: int | None = None,
    map_size: int = 64 << 20,
    progress: bool = True,
) -> BuildResult:
    """Store every image below `src` in the LMDB `dst` in BasicSR's format; resume a stopped build.

    The bytes of the files are stored unchanged, or as PNG if OpenCV, with which BasicSR reads, does
    not know their format. meta_info.txt is written last: without it, the LMDB is not finished.
    build.jsonl keeps checksums for `check`. A data.mdb that is cut short or cannot be opened is
    removed and built again.

    Args:
        src: folder of images.
        dst: folder of the LMDB, with a name in .lmdb.
        crop_size: side in pixels of the squares that each image is cut into, stored as PNG under
            NAME_s001, NAME_s002, … row by row, as BasicSR's extract_subimages names them. Smaller
            images are stored whole. 0 stores all whole.
        step: distance between the squares in pixels, `crop_size` by default; the last ones of each
            row and column end at the edge.
        max_bad: number of files that may be unreadable; they are left out.
        workers: number of threads, by default that of the cores.
        map_size: first size of the memory map in bytes; it doubles as needed.
        progress: show a progress bar.

    Raises:
        WxrError: `src` holds no images or two with one key, too many bad files, `dst` holds
            something else or a finished build of other images, or another build is writing it.
    """
    src = Path(src)
    dst = Path(dst)
    plan = _plan(src, dst, crop_size, step)
    sources = _sources(src)
    # The lock is held while the folder is checked, too: two builds must not both find it empty.
    with _only_writer(dst):
        rows = _earlier_rows(dst, plan, sources)
        damage = _remove_damaged_database(dst) if rows else ""
        already_built = (dst / META_INFO).is_file()
        if not already_built:
            threads = workers or os.cpu_count() or 1
            rows = _write(dst, plan, sources, rows, max_bad, threads, map_size, progress)
    images = sum(len(row.entries) for row in rows)
    bad = [row.bad for row in rows if row.bad]
    return BuildResult(images, already_built, bad, damage)


def planned(
    src: str | os.PathLike, dst: str | os.PathLike, crop_size: int = 0, step: int = 0
) -> dict[str, Any]:
    """Return what `build` would do with these arguments, for `--dry-run`; nothing is written.

    Raises:
        WxrError: as `build`, before it writes anything.
    """
    src, dst = Path(src), Path(dst)
    plan = _plan(src, dst, crop_size, step)
    sources = _sources(src)
    rows = _earlier_rows(dst, plan, sources) if dst.is_dir() else []
    finished = (dst / META_INFO).is_file()
    stored = [row for row in rows if row.entries and _is_unchanged(row, sources)]
    return {
        "images": len(sources),
        "lmdb": dst,
        "crop_size": plan.crop_size,
        "step": plan.step,
        "state": "built already" if finished else "resumes" if rows else "new",
        "images_to_store": 0 if finished else len(sources) - len(stored),
    }


def _plan(src: Path, dst: Path, crop_size: int, step: int) -> Plan:
    """Return the plan of a build; raise WxrError if its arguments do not fit."""
    if dst.suffix != ".lmdb":
        raise WxrError(f"{dst}: BasicSR knows an LMDB by its name; let it end in .lmdb")
    if min(crop_size, step) < 0 or (step and not crop_size):
        raise WxrError(
            f"crop size {crop_size} and step {step} must not be negative, and a step needs a crop "
            f"size"
        )
    return Plan(str(src.resolve()), crop_size, step or crop_size)


def _sources(src: Path) -> dict[str, Path]:
    """Return the images keyed by their path below `src`."""
    paths = keyed(src, list_images(src))
    if not paths:
        raise WxrError(f"{src}: no images in it (looked for {', '.join(SUFFIXES)})")
    for key, path in paths.items():
        if len(key) + len("_s00000") > _KEY_BYTES:
            raise WxrError(
                f"{path}: its name is too long for an LMDB key ({_KEY_BYTES} bytes); shorten it"
            )
    return {path.relative_to(src).as_posix(): path for path in paths.values()}


@contextmanager
def _only_writer(dst: Path) -> Iterator[None]:
    """Lock the folder `dst` within the block.

    Raises:
        WxrError: another build holds the lock, or the LMDB cannot be written.
    """
    dst.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(dst / ".build.lock", timeout=0):
            yield
    except Timeout:
        raise WxrError(
            f"{dst}: another build is writing it; wait for its end or choose another folder"
        ) from None
    except lmdb.Error as error:
        raise WxrError(
            f"{dst}: cannot be written ({error}); check the disk's free space and run it again"
        ) from error


def _earlier_rows(dst: Path, plan: Plan, sources: dict[str, Path]) -> list[Row]:
    """Return the rows of an earlier build with the same plan.

    Raises:
        WxrError: the folder holds anything else.
    """
    journal = Journal(dst)
    if not journal.exists():
        if any(not path.name.startswith(".") for path in dst.iterdir()):
            raise WxrError(
                f"{dst}: holds something that this command did not make; choose another folder or "
                f"delete it"
            )
        return []
    earlier, rows = journal.read()
    finished = (dst / META_INFO).is_file()
    same_crops = (earlier.crop_size, earlier.step) == (plan.crop_size, plan.step)
    # A finished build may come from a copy of the folder: the same files elsewhere are fine.
    if not same_crops or (not finished and earlier != plan):
        raise WxrError(
            f"{dst}: {_described(earlier, finished)}; choose another folder, or delete it to build "
            f"it again"
        )
    if finished and not _same_files(rows, sources):
        raise WxrError(
            f"{dst}: {_described(earlier, True)}, and the images have changed since; delete it to "
            f"build it again"
        )
    return rows


def _remove_damaged_database(dst: Path) -> str:
    """Remove a data.mdb that is missing pages or unreadable; return its damage, empty if sound.

    The images in it are stored again from the source, which `_earlier_rows` found unchanged.
    """
    try:
        refuse_cut_database(dst)
        return ""
    except (WxrError, OSError) as error:
        lmdb_cache.forget(dst)
        # meta_info.txt first: it marks a finished build.
        for name in (META_INFO, "data.mdb", "lock.mdb"):
            (dst / name).unlink(missing_ok=True)
        return str(error)


def _described(plan: Plan, finished: bool) -> str:
    state = "built" if finished else "a build was started"
    crops = "uncut"
    if plan.crop_size:
        crops = f"with crop size {plan.crop_size}, step {plan.step}"
    return f"{state} from {plan.source} {crops}"


def _same_files(rows: list[Row], sources: dict[str, Path]) -> bool:
    same_names = {row.file for row in rows} == set(sources)
    return same_names and all(row.is_of(sources[row.file]) for row in rows)


def _write(
    dst: Path,
    plan: Plan,
    sources: dict[str, Path],
    rows: list[Row],
    max_bad: int,
    workers: int,
    map_size: int,
    progress: bool,
) -> list[Row]:
    """Convert the files that `rows` do not cover yet, finish, and return the rows of all files."""
    journal = Journal(dst)
    _clear(dst)
    with lmdb.open(str(dst), map_size=map_size) as database, ThreadPoolExecutor(workers) as pool:
        done = _still_good(rows, sources, database)
        journal.start(plan, done)
        todo = sorted(set(sources) - {row.file for row in done})
        work = partial(convert, crop_size=plan.crop_size, step=plan.step)
        for names in batches(todo, _BATCH, dst.name, len(done), progress):
            paths = [sources[name] for name in names]
            results = list(pool.map(work, names, paths))
            done += _store(database, journal, results)
            _check_quota(done, max_bad)
        keys = {entry.key.encode() for row in done for entry in row.entries}
        _drop_surplus(database, keys)
    _finish(dst, plan, done)
    return done


def _clear(dst: Path) -> None:
    """Close this process's readers, and remove half-written files of a killed build."""
    lmdb_cache.forget(dst)
    for leftover in dst.glob(".*.tmp"):
        leftover.unlink()


def _store(
    database: lmdb.Environment,
    journal: Journal,
    results: list[tuple[Row, dict[str, bytes]]],
) -> list[Row]:
    """Commit a batch to the LMDB, then to the journal, and return its rows."""
    values: dict[str, bytes] = {}
    for _, file_values in results:
        values |= file_values
    _put(database, values)
    rows = [row for row, _ in results]
    journal.add(rows)
    return rows


def _finish(dst: Path, plan: Plan, rows: list[Row]) -> None:
    entries = [entry for row in rows for entry in row.entries]
    if not entries:
        raise WxrError(f"{plan.source}: none of its images can be read")
    entries.sort(key=lambda entry: entry.key)
    lines = [entry.meta_line + "\n" for entry in entries]
    files.write_text(dst / META_INFO, "".join(lines))


def _still_good(rows: list[Row], sources: dict[str, Path], database: lmdb.Environment) -> list[Row]:
    """Return the rows with an unchanged file and all entries stored; bad files are tried again."""
    with database.begin() as transaction:
        stored = set(transaction.cursor().iternext(values=False))
    return [row for row in rows if _is_stored(row, stored) and _is_unchanged(row, sources)]


def _is_stored(row: Row, stored: set[bytes]) -> bool:
    # The journal may know more than the LMDB: a power failure can lose a commit.
    keys = {entry.key.encode() for entry in row.entries}
    return bool(keys) and keys <= stored


def _is_unchanged(row: Row, sources: dict[str, Path]) -> bool:
    return row.file in sources and row.is_of(sources[row.file])


def _put(database: lmdb.Environment, values: dict[str, bytes]) -> None:
    """Write all of `values` or nothing, doubling the memory map until they fit."""
    while True:
        try:
            with database.begin(write=True) as transaction:
                for key, value in values.items():
                    transaction.put(key.encode(), value)
            return
        except lmdb.MapFullError:
            size = database.info()["map_size"]
            database.set_mapsize(2 * size)


def _drop_surplus(database: lmdb.Environment, keys: set[bytes]) -> None:
    """Remove entries that a stopped build wrote of files that were deleted since."""
    with database.begin(write=True) as transaction:
        stored = set(transaction.cursor().iternext(values=False))
        for key in sorted(stored - keys):
            transaction.delete(key)


def _check_quota(rows: list[Row], max_bad: int) -> None:
    bad = [row.bad for row in rows if row.bad]
    if len(bad) > max_bad:
        lines = "\n  ".join(bad)
        raise WxrError(
            f"{len(bad)} files cannot be used, more than --max-bad {max_bad}; fix or remove them, "
            f"or raise it:\n  {lines}"
        )
