"""`wxr daclip classify`: the degradation of photos according to DA-CLIP."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wxr_plugin.cli.daclip_photos import Read, list_photos, read_photos
from wxr_plugin.cli.parsers import add_command, add_device, add_group, add_offline
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import check_file
from wxr_plugin.utils.json_output import add_json, json_result
from wxr_plugin.utils.tables import print_table

if TYPE_CHECKING:
    from wxr_plugin.conditioning.daclip import DaClipGuide

DESCRIPTION = """
Run DA-CLIP, a CLIP that separates the content of a photo from its degradation.
"""
CLASSIFY = """
Name the degradation of each photo, zero-shot: the word whose embedding is nearest to that of the
photo. Exit code 1 if a photo cannot be read.

With --compare, the photos lie in sub-folders named after their degradations (hazy/,
motion-blurry/); the accuracy of DA-CLIP for each is printed next to that of the plain CLIP within
it.
"""
EXAMPLES = """examples:
  wxr daclip classify photos/ --model daclip_ViT-B-32.pt
  wxr daclip classify street.jpg --model daclip_ViT-B-32.pt --top 3 --csv degradations.csv
  wxr daclip classify sorted/ --model daclip_ViT-B-32.pt --compare --chart accuracy.svg
  wxr daclip classify photos/ --model experiments/mine/models/net_g_latest.pth --words hazy snowy
"""


class Classification(NamedTuple):
    """Degradations of one photo, most probable first."""

    photo: str
    words: list[str]
    """All words to choose from, most probable first."""
    probabilities: list[float]
    """Probabilities of `words`, which sum to 1."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `daclip` with `classify` to the `wxr` command."""
    summary = "classify the degradation of photos with DA-CLIP"
    actions = add_group(subparsers, "daclip", summary, DESCRIPTION, EXAMPLES)
    summary = "name the degradation of each photo"
    parser = add_command(actions, "classify", summary, classify, CLASSIFY, EXAMPLES)
    parser.add_argument(
        "photos", type=Path, metavar="PHOTOS", help="photo, folder of photos, or LMDB"
    )
    parser.add_argument(
        "--model", default="tiny", metavar="MODEL", help="tiny, a checkpoint, or hf://OWNER/NAME"
    )
    parser.add_argument(
        "--words",
        nargs="+",
        metavar="WORD",
        default=list(DEGRADATIONS),
        help="degradations to choose from (default: DA-CLIP's ten)",
    )
    parser.add_argument(
        "--top", type=int, default=1, metavar="K", help="number of words to print for each photo"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="also write the probabilities of all words to FILE"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="print the accuracy by degradation of DA-CLIP and of the plain CLIP within it",
    )
    parser.add_argument(
        "--chart",
        type=Path,
        metavar="FILE",
        help="also draw that accuracy as bars into an SVG file",
    )
    add_json(parser, "the probabilities of all words, or the accuracy of --compare")
    add_device(parser)
    add_offline(parser)


def classify(args: argparse.Namespace) -> int:
    """Print each photo's most probable degradations; return 1 if a photo cannot be read."""
    from wxr_plugin.conditioning.guides import load_daclip
    from wxr_plugin.utils.devices import device_of

    if not 1 <= args.top <= len(args.words):
        raise WxrError(f"--top {args.top}: take 1 to {len(args.words)}, the number of words")
    # Twice the same word would share its probability.
    if len(set(args.words)) < len(args.words):
        raise WxrError(f"--words {' '.join(args.words)}: name each degradation once")
    if not all(word.strip() for word in args.words):
        raise WxrError(f"--words {args.words}: a word is blank; name a degradation such as hazy")
    if args.chart and not args.compare:
        raise WxrError("--chart draws the accuracy of --compare: add --compare, or leave it out")
    if args.chart and args.chart.suffix.lower() != ".svg":
        raise WxrError(
            f"--chart {args.chart}: the chart is an SVG file; name one, such as chart.svg"
        )
    for file in (args.csv, args.chart):
        if file:
            check_file(file)
    # Listed first: a wrong path is an error before the model is loaded.
    photos = list_photos(args.photos)
    if args.compare:
        from wxr_plugin.cli.daclip_compare import compare

        return compare(args, photos)
    guide = load_daclip(args.model, device_of(args.device))
    unreadable: list[str] = []
    with json_result(args.json) as result:
        rows = list(classified(photos, guide, args.words, unreadable))
        print_rows(rows, args.top)
        for reason in unreadable:
            print(f"skipped: {reason}")
        if args.csv:
            write_rows(args.csv, rows, args.words)
            print(f"wrote {len(rows)} rows to {args.csv}")
        by_photo = {row.photo: dict(zip(row.words, row.probabilities)) for row in rows}
        result.update(photos=by_photo, skipped=unreadable)
    return 1 if unreadable else 0


def classified(
    photos: Sequence[tuple[str, Read]],
    guide: "DaClipGuide",
    words: Sequence[str],
    unreadable: list[str],
) -> Iterator[Classification]:
    """Yield the classification of each photo; append a reason to `unreadable` for each bad one."""
    for name, image in read_photos(photos, unreadable):
        # (K,) each; a stable order, so that equal words keep that of the command line.
        values, places = guide.classify(image, words)[0].sort(descending=True, stable=True)
        yield Classification(name, [words[place] for place in places.tolist()], values.tolist())


def print_rows(rows: Sequence[Classification], top: int) -> None:
    """Print a line for each photo, and how often each word was the most probable one."""
    if not rows:
        print("no photo could be read")
        return
    lines = []
    for row in rows:
        cells = [row.photo]
        for word, value in zip(row.words[:top], row.probabilities):
            cells += [word, f"{value:.1%}"]
        lines.append(cells)
    headings = ["photo", *(part for number in range(1, top + 1) for part in _columns(number))]
    print_table(headings, lines, numbers=headings[2::2])
    counts = Counter(row.words[0] for row in rows)
    # The most frequent word first, equal ones by name.
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    print(f"{len(rows)} photos: " + ", ".join(f"{count} {word}" for word, count in by_count))


def _columns(rank: int) -> tuple[str, str]:
    """Return the headings of the word of a rank and of its probability."""
    end = "" if rank == 1 else f" {rank}"
    return f"degradation{end}", f"probability{end}"


def write_rows(path: Path, rows: Sequence[Classification], words: Sequence[str]) -> None:
    """Replace the CSV at `path`: photo, degradation, probability, then one column for each word."""
    from wxr_plugin.utils.csv_text import to_csv
    from wxr_plugin.utils.files import write_text

    lines = []
    for row in rows:
        by_word = dict(zip(row.words, row.probabilities))
        values = [row.probabilities[0], *(by_word[word] for word in words)]
        lines.append([row.photo, row.words[0], *(f"{value:.6f}" for value in values)])
    write_text(path, to_csv(["photo", "degradation", "probability", *words], lines))
