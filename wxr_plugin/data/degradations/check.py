"""Looking over a prepared tree of degradations: what is there, what is broken, what differs from what is published."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from PIL import Image

from wxr_plugin.data.degradations.layout import SIDES, SPLITS, paired, side_of
from wxr_plugin.data.degradations.words import BENCHMARKS, DEGRADATIONS, Published
from wxr_plugin.data.images.store import ImageStore, read_meta_info
from wxr_plugin.errors import WxrError

_TURNED = (5, 6, 7, 8)
_ORIENTATION = 0x0112


@dataclass
class Found:
    """What a split of the tree has of one degradation."""

    split: str
    word: str
    pairs: int
    """Images of the side that has fewer; 0 where a side is missing."""
    entry: Published
    """What the benchmark has of it."""
    broken: list[str] = field(default_factory=list)
    """What training would fail on, each with its mend."""

    @property
    def published(self) -> int:
        """Pairs of the published benchmark."""
        return self.entry.train if self.split == "train" else self.entry.test

    @property
    def is_quoted(self) -> bool:
        """Whether that number is hearsay."""
        return self.entry.quoted and self.split == "train"


def check_tree(root: str | Path, benchmark: str = "universal") -> list[Found]:
    """Each split of `root` and degradation of a benchmark, in order, those not there included; reads no pixels.

    Raises:
        WxrError: `root` has neither train nor val in it.
    """
    root = Path(root).expanduser()
    if not any((root / split).is_dir() for split in SPLITS):
        raise WxrError(
            f"{root}: neither train nor val in it; the layout is "
            f"{root}/{{train,val}}/<degradation>/{{LQ,GT}}"
        )
    entries = BENCHMARKS[benchmark].degradations
    return [_found(root, split, word, entry) for split in SPLITS for word, entry in entries.items()]


def strangers(root: str | Path) -> list[str]:
    """Folders of the splits that no degradation is called after, with the word that may be meant."""
    root = Path(root).expanduser()
    folders = [
        path for split in SPLITS for path in sorted((root / split).glob("*/")) if path.is_dir()
    ]
    return [
        _strange(path)
        for path in folders
        if path.name not in DEGRADATIONS and not path.name.startswith(".")
    ]


def sources(root: str | Path) -> Iterator[Path]:
    """Every LQ and GT folder of the tree that is no LMDB."""
    folders = [Path(root).expanduser() / split / word for split in SPLITS for word in DEGRADATIONS]
    sides = (side_of(folder, side) for folder in folders if folder.is_dir() for side in SIDES)
    return (side for side in sides if side.suffix != ".lmdb")


def _found(root: Path, split: str, word: str, entry: Published) -> Found:
    folder, found = root / split / word, Found(split, word, 0, entry)
    if not folder.is_dir():
        return found
    try:
        lq, gt = (ImageStore(side_of(folder, side)) for side in SIDES)
        found.pairs = min(len(lq), len(gt))
        pairs = paired(lq, gt)
        found.broken = list(_misfits(lq, gt, pairs))
    except WxrError as error:
        found.broken = [str(error)]
    return found


def _misfits(lq: ImageStore, gt: ImageStore, pairs: list[tuple[str, str]]) -> Iterator[str]:
    """Pairs of two sizes, and files that are no images."""
    sizes = [_sizes(store) for store in (lq, gt)]
    for pair in pairs:
        found = [size[key] for size, key in zip(sizes, pair)]
        unreadable = [
            store.path(key) for store, key, size in zip((lq, gt), pair, found) if size is None
        ]
        yield from (
            f"{path}: no image that can be read; download or copy it again" for path in unreadable
        )
        if not unreadable and found[0] != found[1]:
            shown = [f"{width}x{height}" for height, width in found]
            yield f"{lq.path(pair[0])}: {shown[0]} pixels, but its ground truth {shown[1]}; make them equal"


def _sizes(store: ImageStore) -> dict[str, tuple[int, int] | None]:
    """(height, width) of each image as it is shown; None for what is no image."""
    if store.is_lmdb:
        return {
            key: (height, width) for key, (height, width, _) in read_meta_info(store.root).items()
        }
    return {key: _size(store.path(key)) for key in store.keys()}  # noqa: SIM118


def _size(path: str) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(Path(path).read_bytes())) as image:
            turned = image.getexif().get(_ORIENTATION) in _TURNED
            return (image.width, image.height) if turned else (image.height, image.width)
    except Exception:  # Pillow raises almost anything on damaged data
        return None


def _strange(path: Path) -> str:
    near = get_close_matches(path.name, DEGRADATIONS, n=1, cutoff=0.45)
    hint = f"did you mean {near[0]}?" if near else f"the ten are {', '.join(DEGRADATIONS)}"
    return f"{path}: no degradation is called so, and nothing reads it; {hint}"
