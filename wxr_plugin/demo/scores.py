"""Measuring what the demo trained, and laying the figures out."""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from statistics import fmean

import numpy as np

from wxr_plugin.data.images.io import BadImageError, list_images, read_image, write_image
from wxr_plugin.errors import WxrError
from wxr_plugin.utils import html
from wxr_plugin.utils.files import write_text
from wxr_plugin.utils.grouping import group_by

NETWORKS = {"supervised": "supervised only", "semi_supervised": "semi-supervised"}
START = "packaged"
"""The packaged network that the training started from, as a column beside them."""
RATED = 48
"""Unlabelled photos that are restored and rated, at the most; they are taken evenly from all."""

BODY = resources.files(__package__) / "report.html"
RATING_NOTE = "The rater is the packaged tiny LLaVA, which also chose the pseudo-labels: it is no independent judge."


def measure(places) -> None:
    """Restore and score held-out pairs and unlabelled photos; write scores.json and restored/ in the work folder."""
    from wxr_plugin.inference.restorer import Restorer

    nets = {name: Restorer.from_checkpoint(places.checkpoint(name), tile=768) for name in NETWORKS}
    compared = {START: Restorer.from_checkpoint("tiny"), **nets}
    pairs = [score_pair(file, compared) for file in list_images(places.held_out / "lq")]
    photos = rate_photos(places, nets)
    write_text(
        places.work / "scores.json", json.dumps({"pairs": pairs, "photos": photos}, indent=1)
    )


def score_pair(lq_file: Path, nets: dict) -> dict:
    """PSNR (dB) and SSIM on RGB of one held-out pair, for the input and for every network."""
    from skimage.metrics import peak_signal_noise_ratio as psnr
    from skimage.metrics import structural_similarity as ssim

    gt, lq = read_image(lq_file.parents[1] / "gt" / lq_file.name), read_image(lq_file)
    results = {"input": lq, **{name: net.restore(lq) for name, net in nets.items()}}
    _, style, kind, _ = lq_file.stem.rsplit("_", 3)
    scores = {
        name: [psnr(gt, image), ssim(gt, image, channel_axis=2)] for name, image in results.items()
    }
    return {"style": style, "kind": kind, **scores}


def rate_photos(places, nets: dict) -> list[dict]:
    """Restore up to RATED unlabelled photos with every network and rate the photo and each result."""
    from wxr_plugin.vlm.rater import build_rater

    rater, rows = build_rater(None), []
    for number, (kind, file) in enumerate(_spread(places)):
        try:
            photo = read_image(file)
        except BadImageError:
            continue
        results = {"input": photo, **{name: net.restore(photo) for name, net in nets.items()}}
        ratings = rater.rate(list(results.values())).rating.tolist()
        target = places.work / "restored" / f"{number:03d}_{file.stem}.png"
        write_image(target, results["semi_supervised"])
        rows.append(
            {
                "kind": kind,
                "photo": str(file),
                "restored": str(target),
                **dict(zip(results, ratings)),
            }
        )
    if not rows:
        raise WxrError(f"{places.real}: none of its photos could be read")
    return rows


def write_report(places, settings: dict, real: Path | None) -> Path:
    """Write index.html into the work folder from scores.json and print the tables; returns its path."""
    scores = json.loads((places.work / "scores.json").read_text())
    pairs, photos = pair_table(scores["pairs"]), rating_table(scores["photos"])
    print("\nHeld-out synthetic pairs (PSNR in dB, SSIM; RGB)\n" + html.text_table(*pairs))
    print("\nRating of the unlabelled photos, 1 to 5\n" + html.text_table(*photos))
    print(f"\n* is the best of a row. {html.WORSE_NOTE}")
    source = (
        str(real) if real else "packaged photos under a weather setting that training never drew"
    )
    page = html.page(
        "wxr_plugin demo",
        BODY,
        summary=f"A small MSBDN trained with BasicSR on this machine. Unlabelled photos: {html.escape(source)}.",
        photos="\n".join(figures(scores["photos"], settings["shown"])),
        rating_table=html.html_table(*photos),
        rating_note=RATING_NOTE,
        pair_table=html.html_table(*pairs),
        facts=html.html_table(
            ["setting", "value"], [[key, str(value)] for key, value in settings.items()]
        ),
    )
    write_text(places.work / "index.html", page)
    return places.work / "index.html"


def pair_table(pairs: list[dict]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: mean PSNR and SSIM of input and networks, by weather setting and weather; best marked by *."""
    columns = ["input", START, *NETWORKS]
    header = [
        "weather",
        *(f"{metric} {NETWORKS.get(c, c)}" for metric in ("PSNR", "SSIM") for c in columns),
    ]
    groups = group_by(pairs, lambda pair: f"{pair['style']} {pair['kind']}")
    groups |= group_by(pairs, lambda pair: f"all {pair['style']}")
    rows = [
        [name, *_means(group, columns, 0, 2), *_means(group, columns, 1, 3)]
        for name, group in groups.items()
    ]
    return header, rows


def rating_table(photos: list[dict]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: count and mean rating of the photos before and after, by weather where it is known."""
    header = ["photos", "count", "before", *NETWORKS.values()]
    kinds = sorted({photo["kind"] for photo in photos} - {"all"})
    groups = {**group_by(photos, lambda photo: photo["kind"], kinds), "all photos": photos}
    columns = ("input", *NETWORKS)
    rows = [
        [name, str(len(group)), *_marked([fmean(p[c] for p in group) for c in columns], 2)]
        for name, group in groups.items()
    ]
    return header, rows


def figures(photos: list[dict], shown: int) -> Iterator[str]:
    """A slider for up to `shown` photos, spread evenly over all."""
    for row in _evenly(photos, shown):
        before, after = read_image(row["photo"]), read_image(row["restored"])
        caption = f"{Path(row['photo']).name} ({row['kind']}): rating {row['input']:.2f} → {row['semi_supervised']:.2f}"
        yield html.figure(Path(row["photo"]).name, before, after, caption)


def _spread(places) -> Iterator[tuple[str, Path]]:
    folders = places.real_folders()
    for kind, folder in folders.items():
        files, share = list_images(folder), RATED // len(folders)
        for file in _evenly(files, share):
            yield kind, file


def _evenly(items: list, most: int) -> list:
    """Up to `most` of `items`, spread evenly over them."""
    chosen = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[index] for index in chosen]


def _means(group: list[dict], columns: list[str], metric: int, digits: int) -> list[str]:
    return _marked([fmean(pair[column][metric] for pair in group) for column in columns], digits)


def _marked(values: list[float], digits: int) -> list[str]:
    """Return figures of which the first is the input's: * marks the best, ▼ what is worse than the input."""
    best = ["*" if value == max(values) else "" for value in values]
    worse = [
        f" {html.WORSE}" if html.is_worse(value, values[0], "higher", digits) else ""
        for value in values
    ]
    return [f"{star}{value:.{digits}f}{mark}" for star, value, mark in zip(best, values, worse)]
