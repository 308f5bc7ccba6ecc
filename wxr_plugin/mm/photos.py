"""python -m wxr_plugin.mm.photos FOLDER: write the photos of the configs in options/mm."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from wxr_plugin.data import packaged_photos
from wxr_plugin.data.images.io import write_image


def write_all(folder: Path) -> None:
    """Write clear/, pairs/{gt,lq}, real/{rain,haze,snow} and held_out/{gt,lq}; 30 MB."""
    packaged_photos.write_clean(folder / "clear")
    packaged_photos.write_unlabelled(folder / "real", per_kind=1)
    packaged_photos.write_held_out(folder / "held_out", per_kind=1)
    kinds = packaged_photos.KINDS
    for seed, name in enumerate(packaged_photos.TRAIN):
        photo = packaged_photos.packaged_photo(name)
        # the weathers take turns, so that each has pairs
        lq = packaged_photos.weathered(photo, kinds[seed % len(kinds)], 0.5, seed, "default")
        write_image(folder / "pairs/gt" / f"{name}.png", photo)
        write_image(folder / "pairs/lq" / f"{name}.png", lq)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the photos into the folder of the command line."""
    parser = argparse.ArgumentParser(
        "python -m wxr_plugin.mm.photos", description=__doc__.split(": ")[1]
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("datasets/photos"))
    folder = parser.parse_args(argv).folder
    write_all(folder)
    print(f"wrote clear, pairs, real and held_out to {folder}")


if __name__ == "__main__":
    main()
