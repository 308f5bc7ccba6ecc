"""`wxr daclip classify --compare`: accuracy by degradation of DA-CLIP and of plain CLIP."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from wxr_plugin.cli.daclip_photos import Read, read_photos
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.json_output import json_result
from wxr_plugin.utils.tables import print_table

METHODS = ("CLIP", "DA-CLIP")
Photos = Sequence[tuple[str, Read]]
"""Name and reader of each photo."""


def compare(args: argparse.Namespace, photos: Photos) -> int:
    """Print the accuracy of both for each degradation; return 1 if a photo cannot be read."""
    from wxr_plugin.conditioning.guides import load_daclip
    from wxr_plugin.utils.devices import device_of

    if args.csv:
        raise WxrError("--csv is for the words of single photos: leave it or --compare out")
    truths = {name: true_word(name, args.words, args.photos) for name, _ in photos}
    guide = load_daclip(args.model, device_of(args.device))
    unreadable: list[str] = []
    with json_result(args.json) as result:
        hits = _hits(photos, truths, guide, args.words, unreadable)
        if not any(hits.values()):
            raise WxrError("no photo could be read")
        rows = _accuracies(hits)
        _print(rows)
        for reason in unreadable:
            print(f"skipped: {reason}")
        if args.chart:
            _draw(args.chart, rows)
            print(f"wrote {args.chart}")
        result.update(accuracy=rows, skipped=unreadable)
    return 1 if unreadable else 0


def true_word(name: str, words: Sequence[str], root: Path) -> str:
    """Return the degradation of a photo: that of `words` which one of its folders is named after.

    Folders may have hyphens or underscores, as in motion-blurry and jpeg-compressed_artifact.

    Raises:
        WxrError: no folder, or several, are named after a word.
    """
    folders = [_plain(part) for part in (root.name, *PurePath(name).parts[:-1])]
    named = [word for word in words if _plain(word) in folders]
    if len(named) == 1:
        return named[0]
    raise WxrError(
        f"{name}: --compare needs the degradation of each photo as the name of its folder, "
        f"one of {', '.join(words)}"
    )


def _plain(text: str) -> str:
    return text.lower().replace("-", " ").replace("_", " ")


def _hits(
    photos: Photos,
    truths: dict[str, str],
    guide: Any,
    words: Sequence[str],
    unreadable: list[str],
) -> dict[str, list[tuple[bool, bool]]]:
    """Return, for each word with photos, whether CLIP and DA-CLIP name each photo rightly."""
    hits: dict[str, list[tuple[bool, bool]]] = {
        word: [] for word in words if word in truths.values()
    }
    for name, image in read_photos(photos, unreadable):
        plain = guide.classify_without_controller(image, words)[0].argmax()
        controlled = guide.classify(image, words)[0].argmax()
        truth = words.index(truths[name])
        hits[truths[name]].append((int(plain) == truth, int(controlled) == truth))
    return hits


def _accuracies(hits: dict[str, list[tuple[bool, bool]]]) -> list[dict[str, Any]]:
    """Return a row for each degradation and one for the mean over degradations."""
    rows = []
    for word, pairs in hits.items():
        means = np.mean(pairs, axis=0).tolist() if pairs else [math.nan] * 2
        rows.append({"degradation": word, "photos": len(pairs), **dict(zip(METHODS, means))})
    mean = {name: float(np.nanmean([row[name] for row in rows])) for name in METHODS}
    total = sum(row["photos"] for row in rows)
    return [*rows, {"degradation": "mean", "photos": total, **mean}]


def _print(rows: Sequence[dict[str, Any]]) -> None:
    lines = []
    for row in rows:
        shares = [f"{row[name]:.1%}" for name in METHODS]
        lines.append([row["degradation"], str(row["photos"]), *shares])
    print_table(["degradation", "photos", *METHODS], lines, numbers=["photos", *METHODS])


def _draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    from wxr_plugin.utils.charts import bar_chart, save_chart
    from wxr_plugin.utils.files import write_text

    groups = [row["degradation"] for row in rows]
    series = {name: [100 * row[name] for row in rows] for name in METHODS}
    chart = bar_chart(groups, series, "Degradations named rightly", "%")
    write_text(path, save_chart(chart))
