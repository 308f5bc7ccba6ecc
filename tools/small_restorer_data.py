"""Gather the clear photos that the packaged restorer `small` is trained on.

    python tools/small_restorer_data.py DATA clean/
    wxr lmdb build clean/ datasets/clean.lmdb --crop-size 320

DATA has clean/{train,val} (BSDS500) and clean/extra (larger photos), and pairs/OVERLAP_BSDS500.tsv,
whose last column names the photos of clean/ that are the ground truth of a published pair. Those
are left out, and so is every tenth photo of clean/extra, for measurements; clean/test is not
touched. The files are linked, not copied.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from wxr_plugin.data.images.io import list_images

HELD_OUT_EVERY, HELD_OUT_FIRST = 10, 5
"""Of clean/extra, sorted by name, photos 5, 15, 25, … are held out."""


def training_photos(data: Path) -> Iterator[Path]:
    """Give the files to train on."""
    overlap = (data / "pairs" / "OVERLAP_BSDS500.tsv").read_text(encoding="utf-8").splitlines()[1:]
    left_out = {data / row.split("\t")[-1].strip() for row in overlap}
    for part in ("train", "val"):
        yield from (file for file in list_images(data / "clean" / part) if file not in left_out)
    for number, file in enumerate(list_images(data / "clean" / "extra")):
        if number % HELD_OUT_EVERY != HELD_OUT_FIRST:
            yield file


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    args.target.mkdir(parents=True, exist_ok=True)
    for photo in training_photos(args.data.resolve()):
        link = args.target / photo.name
        if not link.is_symlink():
            link.symlink_to(photo)
    print(f"{args.target} holds {len(list(args.target.iterdir()))} photos")


if __name__ == "__main__":
    main()
