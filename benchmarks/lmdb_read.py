"""Size and reading speed of an LMDB: original bytes (`wxr lmdb build`) against BasicSR's PNG.

    python benchmarks/lmdb_read.py [FOLDER_OF_JPEGS] [--rounds 5]

Without a folder it takes the JPEG photos that come with scikit-learn and scikit-image. Both are
read photo by photo, in one thread and in turns, into uint8 RGB; the system's file cache is warm.
"""

import argparse
import contextlib
import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.utils import FileClient, imfrombytes
from basicsr.utils.lmdb_util import make_lmdb_from_imgs

from wxr_plugin.data.images.io import list_images
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.data.lmdb.build import build


def packaged() -> list[Path]:
    """Return the folders of scikit-learn and scikit-image that hold photos."""
    import skimage.data
    import sklearn.datasets

    return [Path(sklearn.datasets.__file__).parent / "images", Path(skimage.data.__file__).parent]


def copy_jpegs(folders: list[Path], target: Path) -> Path:
    """Copy the JPEG photos below `folders` into `target`, under the same paths."""
    for folder in folders:
        for path in list_images(folder):
            if path.suffix.lower() in (".jpg", ".jpeg"):
                copy = target / path.relative_to(folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
    return target


def build_both(photos: Path, work: Path) -> tuple[Path, Path]:
    """Build BasicSR's LMDB of the photos, and ours."""
    names = [str(path.relative_to(photos)) for path in list_images(photos)]
    stock, ours = work / "stock.lmdb", work / "ours.lmdb"
    keys = [str(Path(name).with_suffix("")) for name in names]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        make_lmdb_from_imgs(str(photos), str(stock), names, keys, map_size=1 << 40)
        build(photos, ours)
    return stock, ours


def seconds(read: Callable[[str], np.ndarray], keys: list[str]) -> float:
    """Return the seconds to read all `keys` once."""
    start = time.perf_counter()
    for key in keys:
        read(key)
    return time.perf_counter() - start


def stock_reader(path: Path) -> Callable[[str], np.ndarray]:
    """Read a uint8 RGB array (H, W, 3) as BasicSR does."""
    client = FileClient("lmdb", db_paths=str(path))
    return lambda key: cv2.cvtColor(imfrombytes(client.get(key, "default")), cv2.COLOR_BGR2RGB)


def main() -> None:
    """Print the two sizes, the two times, and their ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="JPEG photos (default: packaged ones)")
    parser.add_argument("--rounds", type=int, default=5, help="times that all photos are read")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        photos = copy_jpegs([args.folder] if args.folder else packaged(), Path(name) / "photos")
        stock, ours = build_both(photos, Path(name))
        store = ImageStore(ours)
        readers = {"BasicSR": stock_reader(stock), "wxr": store.read}
        times = {name: [] for name in readers}
        for _ in range(args.rounds):
            for name, read in readers.items():
                times[name].append(seconds(read, store.keys()))
        report(len(store), {"BasicSR": stock, "wxr": ours}, times)


def report(count: int, paths: dict[str, Path], times: dict[str, list[float]]) -> None:
    """Print what was measured: medians over the rounds."""
    sizes = {name: (path / "data.mdb").stat().st_size / 2**20 for name, path in paths.items()}
    medians = {name: 1000 * statistics.median(values) / count for name, values in times.items()}
    print(f"{count} JPEG photos")
    for name in paths:
        print(f"{name:8} {sizes[name]:8.1f} MiB  {medians[name]:6.2f} ms a photo")
    smaller, faster = (table["BasicSR"] / table["wxr"] for table in (sizes, medians))
    print(f"wxr's is {smaller:.1f} times smaller and is read {faster:.1f} times faster")


if __name__ == "__main__":
    main()
