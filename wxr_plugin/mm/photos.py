"""python -m wxr_plugin.mm.photos FOLDER: the packaged photos, as the small configs of options/mm want them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from wxr_plugin.data import packaged_photos
from wxr_plugin.data.images.io import write_image


def write_all(folder: Path) -> None:
    """Write clear/, pairs/{gt,lq}, real/{rain,haze,snow} and held_out/{gt,lq}; some seconds, 30 MB."""
    packaged_photos.write_clean(folder / "clear")
    packaged_photos.write_unlabelled(folder / "real", per_kind=1)
    packaged_photos.write_held_out(folder / "held_out", per_kind=1)
    for seed, name in enumerate(packaged_photos.TRAIN):
        photo, kind = (
            packaged_photos.packaged_photo(name),
            packaged_photos.KINDS[seed % len(packaged_photos.KINDS)],
        )
        write_image(folder / "pairs/gt" / f"{name}.png", photo)
        write_image(
            folder / "pairs/lq" / f"{name}.png",
            packaged_photos.weathered(photo, kind, 0.5, seed, "default"),
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Write them where the command line says."""
    parser = argparse.ArgumentParser(
        "python -m wxr_plugin.mm.photos", description=__doc__.split(": ")[1]
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("datasets/photos"))
    folder = parser.parse_args(argv).folder
    write_all(folder)
    print(f"wrote clear, pairs, real and held_out to {folder}")


if __name__ == "__main__":
    main()
