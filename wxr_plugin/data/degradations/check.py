"""Check of a prepared tree of degradations: broken pairs, and numbers next to published ones."""

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
"""Values of the EXIF orientation that exchange width and height."""
_ORIENTATION = 0x0112
"""EXIF tag."""
Size = tuple[int, int]
"""(height, width) of an image as it is shown."""


@dataclass
class DegradationCheck:
    """Pairs of one degradation in one split of the tree."""

    split: str
    word: str
    pairs: int
    """Number of images of the side that has fewer; 0 if a side is missing."""
    entry: Published
    """Data of the published benchmark."""
    broken: list[str] = field(default_factory=list)
    """Problems that training would fail on, each with its fix."""

    @property
    def published(self) -> int:
        """Number of pairs in the published benchmark."""
        return self.entry.train if self.split == "train" else self.entry.test

    @property
    def is_quoted(self) -> bool:
        """Whether that number is quoted in papers without a source."""
        return self.entry.quoted and self.split == "train"


def check_tree(root: str | Path, benchmark: str = "universal") -> list[DegradationCheck]:
    """Check each degradation of a benchmark in each split of `root`, missing ones included.

    Only headers of images are read, not their pixels.

    Raises:
        WxrError: `root` has neither train nor val in it.
    """
    root = Path(root).expanduser()
    if not any((root / split).is_dir() for split in SPLITS):
        raise WxrError(
            f"{root}: neither train nor val in it; the layout is "
            f"{root}/{{train,val}}/<degradation>/{{LQ,GT}}"
        )
    checks = []
    for split in SPLITS:
        for word, entry in BENCHMARKS[benchmark].degradations.items():
            checks.append(_check(root, split, word, entry))
    return checks


def strangers(root: str | Path) -> list[str]:
    """Describe the folders of the splits that no degradation is named after, with a suggestion."""
    root = Path(root).expanduser()
    lines = []
    for split in SPLITS:
        folders = [path for path in sorted((root / split).glob("*/")) if path.is_dir()]
        lines += [_unknown_folder(path) for path in folders if _is_stranger(path.name)]
    return lines


def sources(root: str | Path) -> Iterator[Path]:
    """Yield every LQ and GT folder of the tree that is not an LMDB."""
    root = Path(root).expanduser()
    for split in SPLITS:
        for word in DEGRADATIONS:
            folder = root / split / word
            if folder.is_dir():
                sides = [side_of(folder, side) for side in SIDES]
                yield from (side for side in sides if side.suffix != ".lmdb")


def _check(root: Path, split: str, word: str, entry: Published) -> DegradationCheck:
    folder = root / split / word
    result = DegradationCheck(split, word, pairs=0, entry=entry)
    if not folder.is_dir():
        return result
    try:
        lq, gt = (ImageStore(side_of(folder, side)) for side in SIDES)
        # The count stands even if pairing fails below.
        result.pairs = min(len(lq), len(gt))
        result.broken = list(_misfits(lq, gt))
    except WxrError as error:
        result.broken = [str(error)]
    return result


def _misfits(lq: ImageStore, gt: ImageStore) -> Iterator[str]:
    """Describe the pairs of two sizes and the files that are not images."""
    pairs = paired(lq, gt)
    lq_sizes = _sizes(lq)
    gt_sizes = _sizes(gt)
    for lq_key, gt_key in pairs:
        lq_size = lq_sizes[lq_key]
        gt_size = gt_sizes[gt_key]
        if lq_size is None:
            yield _unreadable(lq.path(lq_key))
        if gt_size is None:
            yield _unreadable(gt.path(gt_key))
        if lq_size and gt_size and lq_size != gt_size:
            yield (
                f"{lq.path(lq_key)}: {_shown(lq_size)} pixels, but its ground truth "
                f"{_shown(gt_size)}; make them equal"
            )


def _unreadable(path: str) -> str:
    return f"{path}: not a readable image; download or copy it again"


def _shown(size: Size) -> str:
    height, width = size
    return f"{width}x{height}"


def _sizes(store: ImageStore) -> dict[str, Size | None]:
    """Return key -> size of each image; None if it is not an image."""
    if not store.is_lmdb:
        return {key: _size(store.path(key)) for key in store.keys()}  # noqa: SIM118
    shapes = read_meta_info(store.root)
    return {key: (height, width) for key, (height, width, _) in shapes.items()}


def _size(path: str) -> Size | None:
    try:
        data = Path(path).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            is_turned = image.getexif().get(_ORIENTATION) in _TURNED
            return (width, height) if is_turned else (height, width)
    except Exception:  # Pillow raises almost anything on damaged data
        return None


def _is_stranger(name: str) -> bool:
    return name not in DEGRADATIONS and not name.startswith(".")


def _unknown_folder(path: Path) -> str:
    hint = f"the ten are {', '.join(DEGRADATIONS)}"
    near = get_close_matches(path.name, DEGRADATIONS, n=1, cutoff=0.45)
    if near:
        hint = f"did you mean {near[0]}?"
    return f"{path}: unknown degradation, so this folder is not used; {hint}"
