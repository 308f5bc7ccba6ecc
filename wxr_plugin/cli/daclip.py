"""`wxr daclip`: what DA-CLIP says of photos."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import numpy as np

from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.errors import WxrError

if TYPE_CHECKING:
    from wxr_plugin.conditioning.daclip import DaClipGuide

Read = Callable[[], np.ndarray]
"""Gives a photo as uint8 RGB (H, W, 3); may raise BadImageError."""

EXAMPLE = """example:
  wxr daclip classify photos/ --model daclip_ViT-B-32.pt
  wxr daclip classify street.jpg --model daclip_ViT-B-32.pt --top 3 --csv found.csv
  wxr daclip classify photos/ --model experiments/mine/models/net_g_latest.pth --words hazy rainy snowy
"""


class Found(NamedTuple):
    """What is said of one photo."""

    photo: str
    words: list[str]
    """The likeliest degradations, likeliest first."""
    probabilities: list[float]


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `daclip` with `classify` to the `wxr` command."""
    style = {"epilog": EXAMPLE, "formatter_class": argparse.RawDescriptionHelpFormatter}
    about = "DA-CLIP, which tells a photo's content from what degrades it."
    parser = subparsers.add_parser(
        "daclip", help="ask DA-CLIP what degrades a photo", description=about, **style
    )
    actions = parser.add_subparsers(dest="action", required=True)
    purpose = (
        "Name the degradation of each photo, zero-shot: the word that its embedding is nearest to."
    )
    parser = actions.add_parser(
        "classify", help="name the degradation of photos", description=purpose, **style
    )
    parser.add_argument(
        "photos", type=Path, metavar="PHOTOS", help="a photo, a folder of photos, or an LMDB"
    )
    parser.add_argument(
        "--model",
        default="tiny",
        metavar="NAME",
        help="tiny, or a checkpoint's file (default: tiny)",
    )
    words = "degradations to choose from (default: DA-CLIP's ten)"
    parser.add_argument(
        "--words", nargs="+", metavar="WORD", default=list(DEGRADATIONS), help=words
    )
    parser.add_argument(
        "--top", type=int, default=1, metavar="K", help="likeliest words to show of each photo"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the probabilities of all words there too"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: the GPU if there is one)")
    parser.set_defaults(func=classify)


def classify(args: argparse.Namespace) -> int:
    """Print each photo's likeliest degradations with their probabilities; exit code 1 if a photo cannot be read."""
    from wxr_plugin.conditioning.guides import load_daclip
    from wxr_plugin.utils.devices import device_of

    if not 1 <= args.top <= len(args.words):
        raise WxrError(f"--top {args.top}: take 1 to {len(args.words)}, the number of words")
    if len(set(args.words)) < len(args.words):
        raise WxrError(f"--words {' '.join(args.words)}: name each degradation once")
    if not all(word.strip() for word in args.words):
        raise WxrError(f"--words {args.words}: one of them is blank; name a degradation, say hazy")
    photos = list_photos(args.photos)
    bad: list[str] = []
    found = list(
        classified(photos, load_daclip(args.model, device_of(args.device)), args.words, bad)
    )
    print_found(found, args.top)
    for reason in bad:
        print(f"passed over: {reason}")
    if args.csv:
        write_found(args.csv, found, args.words)
        print(f"{len(found)} rows in {args.csv}")
    return 1 if bad else 0


def list_photos(path: Path) -> list[tuple[str, Read]]:
    """(name, function that reads it) of a photo, or of all photos of a folder or LMDB.

    WxrError if there are none.
    """
    from wxr_plugin.data.images.io import read_image
    from wxr_plugin.data.images.store import ImageStore

    if path.is_file():
        return [(path.name, partial(read_image, path))]
    store = ImageStore(path)
    keys = store.keys()
    files = (Path(store.path(key)).relative_to(store.root) for key in keys)
    names = map(unquote, keys) if store.is_lmdb else map(str, files)
    return [(name, partial(store.read, key)) for name, key in zip(names, keys)]


def classified(
    photos: Sequence[tuple[str, Read]], guide: "DaClipGuide", words: Sequence[str], bad: list[str]
) -> Iterator[Found]:
    """What `guide` says of each photo, one at a time, as sizes differ; those that cannot be read go to `bad`."""
    import torch
    from rich.console import Console

    from wxr_plugin.data.images.io import BadImageError
    from wxr_plugin.utils.progress import track

    for name, read in track(photos, "classify", transient=True, console=Console(stderr=True)):
        try:
            pixels = read()
        except BadImageError as error:
            bad.append(str(error))
            continue
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        values, places = guide.classify(image, words)[0].sort(descending=True, stable=True)
        yield Found(name, [words[place] for place in places.tolist()], values.tolist())


def print_found(found: Sequence[Found], top: int) -> None:
    """A line a photo, and how many photos each word was the likeliest of."""
    width = max((len(row.photo) for row in found), default=0)
    for row in found:
        shown = zip(row.words[:top], row.probabilities)
        print(
            f"{row.photo:<{width}}  "
            + "  ".join(f"{word:<15} {value:6.1%}" for word, value in shown).rstrip()
        )
    firsts = [row.words[0] for row in found]
    counts = sorted(
        ((firsts.count(word), word) for word in set(firsts)), key=lambda item: (-item[0], item[1])
    )
    print(f"{len(found)} photos: " + ", ".join(f"{count} {word}" for count, word in counts))


def write_found(path: Path, found: Sequence[Found], words: Sequence[str]) -> None:
    """Replace the CSV at `path`: photo, degradation, probability, then the probability of each word."""
    from wxr_plugin.utils.csv_text import to_csv
    from wxr_plugin.utils.files import write_text

    rows = []
    for row in found:
        by_word = dict(zip(row.words, row.probabilities))
        values = [row.probabilities[0], *(by_word[word] for word in words)]
        rows.append([row.photo, row.words[0], *(f"{value:.6f}" for value in values)])
    write_text(path, to_csv(["photo", "degradation", "probability", *words], rows))
