"""Captions of clean photos for their degraded versions, to train DA-CLIP's controller."""

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from wxr_plugin.data.caption_table import CaptionRow, read_table, write_table
from wxr_plugin.data.degradations.layout import paired, read_pairs, words_in
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import BadImageError
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.data.sharding import Shard, shard_keys
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import check_file
from wxr_plugin.utils.json_output import json_result
from wxr_plugin.utils.plans import print_plan
from wxr_plugin.utils.verbosity import note

EVERY = 128
"""Number of clean photos after which the table is written."""


class Pair(NamedTuple):
    """A degraded photo and its clean version."""

    file: str
    """Path of the degraded photo, as in the table."""
    degradation: str
    store: ImageStore
    """Holds the clean photo."""
    key: str

    @property
    def clean(self) -> str:
        """Path of the clean photo."""
        return self.store.path(self.key)


class Captioned(NamedTuple):
    """Counts of the clean photos."""

    new: int
    reused: int
    failed: list[str]
    """A line for each without a caption."""


def run_caption(args: argparse.Namespace, shard: Shard | None = None) -> int:
    """Caption photos that are not in the table, or those of `shard`; return 1 on failures."""
    from wxr_plugin.utils.progress import counting_bar

    if args.batch_size < 1:
        raise WxrError(f"--batch-size must be 1 or more, not {args.batch_size}")
    output = args.output
    check_file(output)
    pairs = find_pairs(args.photos, args.lq, output.parent)
    if shard:
        pairs = in_shard(pairs, shard)
    count = len({pair.clean for pair in pairs})
    if args.dry_run:
        rows = _count_rows(output)
        plan = {"clean_photos": count, "degraded_photos": len(pairs)}
        print_plan({**plan, "model": _model(args), "table": output, "rows": rows}, args.json)
        return 0
    with json_result(args.json) as result:
        build = partial(_build, args)
        with counting_bar(f"caption {args.photos}", count) as progress:
            done = caption(pairs, output, build, args.batch_size, lambda n: progress(n, ""))
        for line in done.failed:
            print(f"no caption: {line}")
        failed = len(done.failed)
        print(f"{done.new} clean photos captioned, {done.reused} known before, {failed} failed")
        rows = _count_rows(output)
        print(f"{rows} rows in {output}")
        result.update(done._asdict(), table=output, rows=rows)
    return 1 if done.failed else 0


def in_shard(pairs: Sequence[Pair], shard: Shard) -> list[Pair]:
    """Return the pairs whose clean photo belongs to `shard`; it has all versions of a photo."""
    stores = {pair.key: pair.store for pair in pairs}
    keys = shard_keys(stores, shard, lambda key: stores[key].pixels(key))
    return [pair for pair in pairs if pair.key in keys]


def _count_rows(table: Path) -> int:
    # Without any caption there may be no table.
    return len(read_table(table)) if table.is_file() else 0


def _model(args: argparse.Namespace) -> str:
    return args.model or "blip-large"


def _build(args: argparse.Namespace) -> Callable[[list[np.ndarray]], list[str]]:
    """Load the model of a command line, and return its function from images to texts."""
    from wxr_plugin.vlm.describer import build_describer

    options = {"type": "BlipDescriber"}
    for name in ("model", "batch_size", "dtype", "device", "revision", "max_tokens"):
        value = getattr(args, name)
        if value is not None:
            options[name] = value
    note(f"loading the model {_model(args)}")
    return build_describer(options).describe


def find_pairs(photos: Path, folders: Sequence[str], relative_to: Path) -> list[Pair]:
    """Return the pairs of a command line.

    `photos` is a split of the official layout (<degradation>/{LQ,GT}); with `folders`,
    "DEGRADATION=FOLDER" each, it holds the clean versions of the photos there, which pair in the
    order of their names.

    Raises:
        WxrError: an unknown degradation, or folders that do not pair.
    """
    if not folders:
        return _pairs_in_split(photos, relative_to)
    clean = ImageStore(photos)
    pairs: list[Pair] = []
    for text in folders:
        word, folder = _word_and_folder(text)
        lq = ImageStore(folder)
        keys = paired(lq, clean)
        pairs += _named(word, lq, clean, keys, relative_to)
    return pairs


def _pairs_in_split(photos: Path, relative_to: Path) -> list[Pair]:
    words = words_in(photos)
    if not words:
        raise WxrError(
            f"{photos}: no folder of a degradation in it ({', '.join(DEGRADATIONS)}), each "
            "with LQ and GT; or name the degraded photos: --lq hazy=FOLDER"
        )
    pairs: list[Pair] = []
    for word in words:
        stores = read_pairs(photos / word)
        pairs += _named(word, stores.lq, stores.gt, stores.keys, relative_to)
    return pairs


def caption(
    pairs: Sequence[Pair],
    output: Path,
    build: Callable[[], Callable[[list[np.ndarray]], list[str]]],
    batch_size: int,
    progress: Callable[[int], None],
) -> Captioned:
    """Write the table of `pairs` to `output`, and caption each clean photo that is not in it, once.

    The model (`build()`) is loaded only if a caption is missing. The table is replaced atomically
    after every EVERY photos and at the end, also after an error or Ctrl-C. Rows of other photos
    stay in it.
    """
    rows = read_table(output).values() if output.is_file() else ()
    table = {row.file: row for row in rows}
    captions = {pair.clean: table[pair.file].caption for pair in pairs if pair.file in table}
    # A clean photo may have several degraded versions.
    missing = {pair.clean: pair for pair in pairs if pair.clean not in captions}
    todo = list(missing.values())
    reused = len(captions)
    failed: list[str] = []
    progress(reused)
    # Writing replaces the whole table, so not after every batch.
    interval = max(1, EVERY // batch_size)
    try:
        describe = build() if todo else None
        for number, batch in enumerate(_batches(todo, batch_size), 1):
            captions |= _captions(batch, describe, failed)
            progress(len(batch))
            if number % interval == 0:
                _write(output, table, pairs, captions)
    finally:
        if captions:
            _write(output, table, pairs, captions)
    new = len(captions) - reused
    return Captioned(new, reused, failed)


def _captions(batch: Iterable[Pair], describe: Callable, failed: list[str]) -> dict[str, str]:
    """Return path of the clean photo -> caption, and add photos without one to `failed`."""
    images = {}
    for pair in batch:
        try:
            images[pair.clean] = pair.store.read(pair.key)
        except BadImageError as error:
            failed.append(str(error))
    if not images:
        return {}
    texts = describe(list(images.values()))
    captions = {}
    for place, text in zip(images, texts):
        # An empty text is no caption, and a row of it would be taken for one.
        if text:
            captions[place] = text
        else:
            failed.append(f"{place}: the model said nothing")
    return captions


def _write(
    output: Path,
    table: dict[str, CaptionRow],
    pairs: Sequence[Pair],
    captions: dict[str, str],
) -> None:
    rows = dict(table)
    for pair in pairs:
        if pair.clean in captions:
            caption = captions[pair.clean]
            rows[pair.file] = CaptionRow(pair.file, caption, pair.degradation)
    write_table(output, rows.values())


def _named(
    word: str,
    lq: ImageStore,
    clean: ImageStore,
    keys: Sequence[tuple[str, str]],
    relative_to: Path,
) -> Iterator[Pair]:
    """Yield the pairs of `keys` (degraded, clean) of two stores with one degradation."""
    """Yield the pairs of `keys` (degraded, clean) of two stores with one degradation."""
    for degraded, key in keys:
        path = Path(lq.path(degraded))
        if lq.is_lmdb:
            # An entry of an LMDB has no path; the table names it like a file in that folder.
            path = lq.root / f"{unquote(degraded)}.png"
        name = _relative(path, relative_to)
        yield Pair(name, word, clean, key)


def _relative(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder` if it is inside, else the absolute path."""
    # Without resolving links: the table shall name the files as the user does.
    path = Path(os.path.abspath(path))
    folder = Path(os.path.abspath(folder))
    if not path.is_relative_to(folder):
        return str(path)
    return path.relative_to(folder).as_posix()


def _word_and_folder(text: str) -> tuple[str, Path]:
    word, separator, folder = text.partition("=")
    if not separator or word not in DEGRADATIONS:
        raise WxrError(
            f"--lq {text}: write DEGRADATION=FOLDER with one of {', '.join(DEGRADATIONS)}"
        )
    return word, Path(folder).expanduser()


def _batches(items: Sequence[Pair], size: int) -> Iterator[Sequence[Pair]]:
    for start in range(0, len(items), size):
        end = start + size
        yield items[start:end]
