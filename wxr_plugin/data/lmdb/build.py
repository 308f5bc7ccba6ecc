"""Building an LMDB from a folder of images: original bytes or sub-images, resumable, one writer at a time."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

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
    """Damage for which an earlier data.mdb was thrown away and built again; empty if there was none."""


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
    """Store every image below `src` in the LMDB `dst`, in BasicSR's format; a build that was stopped goes on.

    The bytes of the files are kept as they are (unless OpenCV, with which BasicSR reads, does not
    know their format: then as PNG). With `crop_size`, in pixels, each image is cut into squares
    `step` apart (default: `crop_size`), the last ones flush with the edge, stored as PNG under
    NAME_s001, NAME_s002, … row by row, as BasicSR's extract_subimages names them. Smaller images
    are stored whole. `map_size` is the first size of the memory map in bytes; it doubles as needed.
    Files that cannot be read are left out, up to `max_bad` of them.

    meta_info.txt is written last: without it, the LMDB is not finished. build.jsonl keeps checksums
    for `check`. A data.mdb that is cut short or cannot be opened is removed and built again.

    Raises:
        WxrError: `src` holds no images or two with one key, too many bad files, `dst` holds
            something else or a finished build of other images, or another build is writing it.
    """
    src, dst = Path(src), Path(dst)
    if dst.suffix != ".lmdb":
        raise WxrError(f"{dst}: BasicSR knows an LMDB by its name; let it end in .lmdb")
    if min(crop_size, step) < 0 or (step and not crop_size):
        raise WxrError(
            f"crop size {crop_size} and step {step} must not be negative, and a step needs a crop "
            f"size"
        )
    plan = Plan(str(src.resolve()), crop_size, (step or crop_size) if crop_size else 0)
    sources = _sources(src)
    with _only_writer(dst):
        rows = _earlier_rows(dst, plan, sources)
        damage = _remove_damaged_database(dst) if rows else ""
        already_built = (dst / META_INFO).is_file()
        if not already_built:
            rows = _write(
                dst,
                plan,
                sources,
                rows,
                max_bad,
                workers or os.cpu_count() or 1,
                map_size,
                progress,
            )
    return BuildResult(
        sum(len(row.entries) for row in rows),
        already_built,
        [row.bad for row in rows if row.bad],
        damage,
    )


def _sources(src: Path) -> dict[str, Path]:
    """Each image by its path below `src`."""
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
            f"{dst}: cannot be written ({error}); see to the disk's space and run it again"
        ) from error


def _earlier_rows(dst: Path, plan: Plan, sources: dict[str, Path]) -> list[Row]:
    """What an earlier build of the same left here.

    Raises WxrError for anything else that is here.
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
    if (earlier.crop_size, earlier.step) != (plan.crop_size, plan.step) or (
        not finished and earlier != plan
    ):
        raise WxrError(
            f"{dst}: {_described(earlier, finished)}; choose another folder, or delete it to build "
            f"anew"
        )
    if finished and not _same_files(rows, sources):
        raise WxrError(
            f"{dst}: {_described(earlier, True)}, and the images are others now; delete it to "
            f"build anew"
        )
    return rows


def _remove_damaged_database(dst: Path) -> str:
    """Remove data.mdb and meta_info.txt if data.mdb is missing, cut short or unreadable; return what was wrong.

    The images it held are stored again from the source, which `_earlier_rows` found unchanged.
    """
    try:
        refuse_cut_database(dst)
        return ""
    except (WxrError, OSError) as error:
        lmdb_cache.forget(dst)
        for name in (
            META_INFO,
            "data.mdb",
            "lock.mdb",
        ):  # meta_info.txt first: it marks a finished build
            (dst / name).unlink(missing_ok=True)
        return str(error)


def _described(plan: Plan, finished: bool) -> str:
    crops = f" with crop size {plan.crop_size}, step {plan.step}" if plan.crop_size else ""
    return f"{'built' if finished else 'a build was begun'} from {plan.source}{crops or ' uncut'}"


def _same_files(rows: list[Row], sources: dict[str, Path]) -> bool:
    return {row.file for row in rows} == set(sources) and all(
        row.is_of(sources[row.file]) for row in rows
    )


def _write(
    dst, plan: Plan, sources: dict[str, Path], rows: list[Row], max_bad, workers, map_size, progress
):
    """Convert what `rows` do not cover yet, and finish; the rows of all files."""
    journal = Journal(dst)
    _clear(dst)
    with lmdb.open(str(dst), map_size=map_size) as database, ThreadPoolExecutor(workers) as pool:
        done = _still_good(rows, sources, database)
        journal.start(plan, done)
        todo = sorted(set(sources) - {row.file for row in done})
        work = partial(convert, crop_size=plan.crop_size, step=plan.step)
        for names in batches(todo, _BATCH, dst.name, len(done), progress):
            done += _store(
                database, journal, list(pool.map(work, names, [sources[name] for name in names]))
            )
            _check_quota(done, max_bad)
        _drop_surplus(database, {entry.key.encode() for row in done for entry in row.entries})
    _finish(dst, plan, done)
    return done


def _clear(dst: Path) -> None:
    """Close readers of this process, and remove half-written files of a build that was killed."""
    lmdb_cache.forget(dst)
    for leftover in dst.glob(".*.tmp"):
        leftover.unlink()


def _store(
    database: lmdb.Environment, journal: Journal, results: list[tuple[Row, dict[str, bytes]]]
) -> list[Row]:
    rows = [row for row, _ in results]
    _put(database, {key: value for _, values in results for key, value in values.items()})
    journal.add(rows)
    return rows


def _finish(dst: Path, plan: Plan, rows: list[Row]) -> None:
    entries = sorted((entry for row in rows for entry in row.entries), key=lambda entry: entry.key)
    if not entries:
        raise WxrError(f"{plan.source}: none of its images can be read")
    files.write_text(dst / META_INFO, "".join(entry.meta_line + "\n" for entry in entries))


def _still_good(rows: list[Row], sources: dict[str, Path], database: lmdb.Environment) -> list[Row]:
    """Rows whose file is as it was and whose entries are all there; bad files are tried again."""
    with database.begin() as transaction:
        there = set(transaction.cursor().iternext(values=False))
    return [
        row
        for row in rows
        if row.entries and {entry.key.encode() for entry in row.entries} <= there
        if row.file in sources and row.is_of(sources[row.file])
    ]


def _put(database: lmdb.Environment, values: dict[str, bytes]) -> None:
    """Write all of `values` or nothing, with a map twice as large as often as it takes."""
    while True:
        try:
            with database.begin(write=True) as transaction:
                for key, value in values.items():
                    transaction.put(key.encode(), value)
            return
        except lmdb.MapFullError:
            database.set_mapsize(2 * database.info()["map_size"])


def _drop_surplus(database: lmdb.Environment, keys: set[bytes]) -> None:
    """Remove what a stopped build wrote of files that have gone since."""
    with database.begin(write=True) as transaction:
        for key in list(transaction.cursor().iternext(values=False)):
            if key not in keys:
                transaction.delete(key)


def _check_quota(rows: list[Row], max_bad: int) -> None:
    bad = [row.bad for row in rows if row.bad]
    if len(bad) > max_bad:
        raise WxrError(
            f"{len(bad)} files cannot be used, more than --max-bad {max_bad}; mend or remove them, "
            f"or raise it:\n  " + "\n  ".join(bad)
        )
