"""Captions of clean photos for their degraded versions: the table that DA-CLIP's controller is trained from."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from wxr_plugin.data.caption_table import CaptionRow, read_table, write_table
from wxr_plugin.data.degradations.layout import paired, read_pairs, words_in
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import BadImageError
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.errors import WxrError

EVERY = 128
"""Clean photos after which the table is written."""


class Pair(NamedTuple):
    """A degraded photo and its clean version."""

    file: str
    """The degraded one, as the table names it."""
    degradation: str
    store: ImageStore
    """Where the clean one is."""
    key: str

    @property
    def clean(self) -> str:
        """Where the clean photo lies."""
        return self.store.path(self.key)


class Captioned(NamedTuple):
    """What became of the clean photos."""

    new: int
    known: int
    failed: list[str]
    """A line for each that has no caption."""


def run_caption(args: argparse.Namespace) -> int:
    """Caption what the table does not know yet; exit code 1 if a photo has no caption."""
    from wxr_plugin.utils.progress import counting_bar
    from wxr_plugin.vlm.describer import build_describer

    if args.batch_size < 1:
        raise WxrError(f"--batch-size must be 1 or more, not {args.batch_size}")
    pairs = find_pairs(args.photos, args.lq, args.output.parent)
    names = ("model", "batch_size", "dtype", "device", "revision", "max_tokens")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}

    def build() -> Callable[[list[np.ndarray]], list[str]]:
        print(f"loading the model {args.model or 'blip-large'}", file=sys.stderr)
        return build_describer({"type": "BlipDescriber", **given}).describe

    count = len({pair.clean for pair in pairs})
    with counting_bar(f"caption {args.photos}", count) as progress:
        done = caption(pairs, args.output, build, args.batch_size, lambda n: progress(n, ""))
    for line in done.failed:
        print(f"no caption: {line}")
    print(
        f"{done.new} clean photos captioned, {done.known} known before, {len(done.failed)} failed"
    )
    print(f"{len(read_table(args.output)) if args.output.is_file() else 0} rows in {args.output}")
    return 1 if done.failed else 0


def find_pairs(photos: Path, folders: Sequence[str], relative_to: Path) -> list[Pair]:
    """The pairs of a command line.

    `photos` is a split of the official layout (<degradation>/{LQ,GT}); with `folders`,
    "DEGRADATION=FOLDER" each, it holds the clean versions of the photos there, which pair in the
    order of their names.

    Raises:
        WxrError: an unknown degradation, or folders that do not pair.
    """
    if not folders:
        words = words_in(photos)
        if not words:
            raise WxrError(
                f"{photos}: no folder of a degradation in it ({', '.join(DEGRADATIONS)}), each "
                f"with LQ and GT; or name "
                "the degraded photos: --lq hazy=FOLDER"
            )
        found = [(word, read_pairs(photos / word)) for word in words]
        return [p for word, s in found for p in _named(word, s.lq, s.gt, s.keys, relative_to)]
    clean, pairs = ImageStore(photos), []
    for word, folder in map(_word_and_folder, folders):
        lq = ImageStore(folder)
        pairs += _named(word, lq, clean, paired(lq, clean), relative_to)
    return pairs


def caption(
    pairs: Sequence[Pair],
    output: Path,
    build: Callable[[], Callable[[list[np.ndarray]], list[str]]],
    batch_size: int,
    progress: Callable[[int], None],
) -> Captioned:
    """Write the table of `pairs` to `output`, each clean photo captioned once, and none that the table knows.

    The model (`build()`) is loaded only if there is something to do. The table is replaced as a
    whole every now and then and at the end, also after an error or Ctrl-C. Rows of other photos
    stay in it.
    """
    table = {row.file: row for row in read_table(output).values()} if output.is_file() else {}
    captions = {pair.clean: table[pair.file].caption for pair in pairs if pair.file in table}
    todo = list({pair.clean: pair for pair in pairs if pair.clean not in captions}.values())
    known, failed = len(captions), []
    progress(known)
    try:
        describe = build() if todo else None
        for number, batch in enumerate(_batches(todo, batch_size), 1):
            captions |= _captions(batch, describe, failed)
            progress(len(batch))
            if number % max(1, EVERY // batch_size) == 0:
                _write(output, table, pairs, captions)
    finally:
        if captions:
            _write(output, table, pairs, captions)
    return Captioned(len(captions) - known, known, failed)


def _captions(batch: Iterable[Pair], describe: Callable, failed: list[str]) -> dict[str, str]:
    """Caption by the clean photo's place; those that have none are added to `failed`."""
    images = {}
    for pair in batch:
        try:
            images[pair.clean] = pair.store.read(pair.key)
        except BadImageError as error:
            failed.append(str(error))
    texts = dict(zip(images, describe(list(images.values())))) if images else {}
    failed += [f"{place}: the model said nothing" for place, text in texts.items() if not text]
    return {place: text for place, text in texts.items() if text}


def _write(
    output: Path, table: dict[str, CaptionRow], pairs: Sequence[Pair], captions: dict[str, str]
) -> None:
    new = {
        p.file: CaptionRow(p.file, captions[p.clean], p.degradation)
        for p in pairs
        if p.clean in captions
    }
    write_table(output, (table | new).values())


def _named(
    word: str, lq: ImageStore, clean: ImageStore, keys: Sequence[tuple[str, str]], relative_to: Path
) -> Iterator[Pair]:
    for degraded, key in keys:
        path = lq.root / f"{unquote(degraded)}.png" if lq.is_lmdb else Path(lq.path(degraded))
        yield Pair(_relative(path, relative_to), word, clean, key)


def _relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder` where it lies below it, else in full."""
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _word_and_folder(text: str) -> tuple[str, Path]:
    word, separator, folder = text.partition("=")
    if not separator or word not in DEGRADATIONS:
        raise WxrError(
            f"--lq {text}: write DEGRADATION=FOLDER with one of {', '.join(DEGRADATIONS)}"
        )
    return word, Path(folder).expanduser()


def _batches(items: Sequence[Pair], size: int) -> Iterator[Sequence[Pair]]:
    return (items[start : start + size] for start in range(0, len(items), size))
