"""Draw the pictures of docs/gallery.md: each weather by the packaged networks, with figures.

    python benchmarks/gallery.py -o docs/gallery

Photos of scikit-image and scikit-learn whose licences permit it, under synthetic weather of the
style `published`. Below each picture: PSNR against the clear photo, and the rating of the packaged
rater.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import wxr_plugin as wxr
from wxr_plugin.benchmark.report.strip import Panel, draw
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.data.weather.synthesis import add_weather

PHOTOS = ("chelsea", "china")
WEATHER = {"rain": 0.5, "haze": 0.7, "snow": 0.6}
"""Kind of weather -> its severity."""
NETWORKS = ("tiny", "small")
SIDE = 480
"""Longest side of the photos in pixels."""


def main() -> None:
    """Write a picture for each weather."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/gallery"))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for kind, severity in WEATHER.items():
        with tempfile.TemporaryDirectory() as folder:
            panels = [panel for photo in PHOTOS for panel in row(photo, kind, severity, folder)]
            draw(panels, args.output / f"{kind}.jpg")
        print(args.output / f"{kind}.jpg")


def row(photo: str, kind: str, severity: float, folder: str) -> list[Panel]:
    """Return the panels of one photo: under weather, by each network, and clear."""
    clear = np.asarray(sized(packaged_photo(photo)))
    rng = np.random.default_rng([len(photo), len(kind)])
    drawn = add_weather(clear.astype(np.float32) / 255, kind, severity, rng, "published")
    images = {"Input": (drawn * 255 + 0.5).astype(np.uint8)}
    for name in NETWORKS:
        images[name] = wxr.load(name, device="cpu")(images["Input"])
    images["Clear photo"] = clear
    panels = []
    for title, pixels in images.items():
        file = Path(folder) / f"{photo}_{title}.png"
        write_image(file, pixels)
        panels.append(Panel(title, caption(pixels, clear), file))
    return panels


def sized(photo: np.ndarray) -> np.ndarray:
    """Return a photo with sides of at most SIDE, uint8 (H, W, 3)."""
    from PIL import Image

    image = Image.fromarray(photo)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def caption(pixels: np.ndarray, clear: np.ndarray) -> str:
    """Return PSNR in dB against the clear photo (none for itself) and the rating of 1 to 5."""
    rating = f"rated {wxr.rate(pixels, device='cpu'):.2f}"
    error = np.mean((pixels.astype(float) - clear) ** 2)
    return f"PSNR {10 * np.log10(255**2 / error):.1f} dB, {rating}" if error else rating


if __name__ == "__main__":
    main()
