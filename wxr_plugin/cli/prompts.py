"""`wxr prompts`: learn the weather prompts of WResVLM, and measure their accuracy."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.cli.parsers import add_command, add_device, add_group, add_offline
from wxr_plugin.data.weather.kinds import WEATHERS
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import check_file
from wxr_plugin.utils.json_output import add_json, json_result
from wxr_plugin.utils.plans import add_dry_run, print_plan
from wxr_plugin.utils.tables import print_table

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide
    from wxr_plugin.conditioning.prompts import WeatherPrompts
    from wxr_plugin.prompt_learning.learning import PromptOptions
    from wxr_plugin.prompt_learning.restored import EncodedRestorations


DESCRIPTION = """
Learn four text prompts (clear, rain, haze, snow) that classify photos through a frozen CLIP. The
weather prompt loss trains with them.
"""
LEARN = """
Learn prompts from photos, and print the accuracy on a held-out fifth of them. The defaults of
--iterations and --lr suit the packaged CLIP.
"""
LEARN_EXAMPLES = """examples:
  wxr prompts learn --clear gt/ --rain rain/ --haze haze/ --snow snow/ -o prompts.safetensors
  wxr prompts learn --synthetic gt/ --crop-size 96 -o prompts.safetensors
  wxr prompts learn --synthetic gt/ --pseudo-labels labels.lmdb -o prompts2.safetensors
"""
CHECK = """
Print the CLIP of a file of prompts and the cosines between the prompts; with photos, also the
accuracy on them.
"""
CHECK_EXAMPLES = """examples:
  wxr prompts check prompts.safetensors
  wxr prompts check prompts.safetensors --clear gt/ --rain rain/ --haze haze/ --snow snow/
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `prompts` with `learn` and `check` to the `wxr` command."""
    summary = "learn and check the prompts of the weather prompt loss"
    actions = add_group(subparsers, "prompts", summary, DESCRIPTION, LEARN_EXAMPLES)
    _add_learn(actions)
    summary = "show a file of prompts and measure its accuracy on photos"
    parser = add_command(actions, "check", summary, check, CHECK, CHECK_EXAMPLES)
    parser.add_argument(
        "prompts",
        type=Path,
        metavar="FILE",
        help="file written by `wxr prompts learn`, or hf://OWNER/NAME[@REVISION][/FILE]",
    )
    add_json(parser, "cosines and accuracies")
    _add_photos(parser)


def _add_learn(actions: argparse._SubParsersAction) -> None:
    summary = "learn prompts from photos"
    parser = add_command(actions, "learn", summary, learn, LEARN, LEARN_EXAMPLES)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write (.safetensors)",
    )
    parser.add_argument(
        "--clip",
        default="tiny",
        metavar="CLIP",
        help="tiny, ARCHITECTURE:WEIGHTS of open_clip, or hf://OWNER/NAME",
    )
    parser.add_argument(
        "--pseudo-labels",
        metavar="STORE",
        help="label store whose pseudo-labels are added as training photos, with soft targets "
        "from their ratings",
    )
    parser.add_argument(
        "--match-tone",
        action="store_true",
        help="give the clear photos of --synthetic the tone of a copy with weather, so that no "
        "colour cast counts as clear",
    )
    parser.add_argument("--iterations", type=int, default=200, metavar="N", help="steps of Adam")
    parser.add_argument("--lr", type=float, default=2e-3, metavar="RATE", help="learning rate")
    add_dry_run(parser)
    add_json(parser, "the accuracies, or the plan,")
    _add_photos(parser)


def _add_photos(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("photos")
    for weather in WEATHERS:
        group.add_argument(
            f"--{weather}", metavar="FOLDER", help=f"folder or LMDB of {weather} photos"
        )
    group.add_argument(
        "--synthetic",
        metavar="FOLDER",
        help="folder or LMDB of clear photos to which all weathers are added",
    )
    group.add_argument(
        "--crops",
        type=int,
        default=4,
        metavar="N",
        help="random crops of each photo, in addition to the whole photo",
    )
    group.add_argument(
        "--crop-size",
        type=int,
        default=224,
        metavar="PIXELS",
        help="side of the crops; best equal to that of the training crops",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the held-out photos, crops, synthetic weather and initial prompts",
    )
    add_device(parser)
    add_offline(parser)


def learn(args: argparse.Namespace) -> int:
    """Learn prompts from four fifths of the photos, print the accuracy on the rest, and save."""
    from wxr_plugin.prompt_learning.learning import PromptOptions, learn_prompts
    from wxr_plugin.utils.devices import device_of
    from wxr_plugin.utils.progress import track

    if args.iterations < 1 or args.lr <= 0:
        raise WxrError("--iterations and --lr must be positive")
    # Learning takes minutes.
    check_file(args.output)
    options = PromptOptions(
        clip=args.clip,
        pseudo_labels=args.pseudo_labels,
        match_tone=args.match_tone,
        iterations=args.iterations,
        lr=args.lr,
        **_photo_options(args),
    )
    device = device_of(args.device)
    if args.dry_run:
        print_plan(_planned(options, device, args.output), args.json)
        return 0
    with json_result(args.json) as result:
        learnt = learn_prompts(options, track, device)
        learnt.prompts.save(args.output)
        _print_skipped(learnt.bad)
        if learnt.restored:
            _print_restored(learnt.restored)
        _print_accuracy(learnt.accuracy, f"held-out accuracy ({learnt.held_out} photos and crops)")
        print(f"wrote {args.output}")
        result.update(output=args.output, held_out=learnt.held_out, accuracy=learnt.accuracy)
        result["skipped"] = learnt.bad
    return 0


def _planned(options: "PromptOptions", device: object, output: Path) -> dict[str, Any]:
    """Return the plan of `wxr prompts learn`, for `--dry-run`."""
    from wxr_plugin.prompt_learning.photos import list_photos

    photos = list_photos(options.photos, options.synthetic, options.seed)
    counts = Counter(photo.weather for photo in photos)
    return {
        "photos": dict(counts),
        "held_out": sum(photo.held_out for photo in photos),
        "pseudo_labels": options.pseudo_labels,
        "clip": options.clip,
        "iterations": options.iterations,
        "device": str(device),
        "output": f"{output}{' (exists and is replaced)' if output.exists() else ''}",
    }


def check(args: argparse.Namespace) -> int:
    """Print the CLIP and the cosines of the prompts, and the accuracy on photos if any."""
    from wxr_plugin.conditioning.clip import load_clip
    from wxr_plugin.conditioning.prompts import WeatherPrompts, accuracy
    from wxr_plugin.prompt_learning.learning import PromptPhotoOptions, encode_photos
    from wxr_plugin.prompt_learning.photos import list_photos
    from wxr_plugin.utils.devices import device_of
    from wxr_plugin.utils.progress import track

    # The file names its CLIP; once that is loaded, the second read checks the prompts against it.
    clip = WeatherPrompts.load(args.prompts).clip
    guide = load_clip(clip, device_of(args.device))
    prompts = WeatherPrompts.load(args.prompts, guide)
    with json_result(args.json) as result:
        names = ", ".join(WEATHERS)
        print(f"{args.prompts}: {names}; CLIP '{clip}', weights {prompts.sha256[:12]}")
        result.update(clip=clip, weights=prompts.sha256, cosines=_print_cosines(prompts, guide))
        # Without photos only the file is described.
        if args.synthetic or any(getattr(args, weather) for weather in WEATHERS):
            options = PromptPhotoOptions(**_photo_options(args))
            photos = list_photos(options.photos, options.synthetic, options.seed)
            data = encode_photos(options, guide, photos, track)
            _print_skipped(data.bad)
            shares = accuracy(prompts, data.features, data.classes, guide)
            _print_accuracy(shares, f"accuracy ({len(data.classes)} views)")
            result.update(accuracy=shares, views=len(data.classes), skipped=data.bad)
    return 0


def _photo_options(args: argparse.Namespace) -> dict[str, Any]:
    if args.crops < 0 or args.crop_size < 1:
        raise WxrError("--crops must not be negative and --crop-size must be positive")
    folders = {weather: getattr(args, weather) for weather in WEATHERS if getattr(args, weather)}
    return {
        "photos": folders,
        "synthetic": args.synthetic,
        "crops": args.crops,
        "crop_size": args.crop_size,
        "seed": args.seed,
    }


def _print_skipped(reasons: list[str]) -> None:
    for reason in reasons:
        print(f"skipped: {reason}")


def _print_restored(restored: "EncodedRestorations") -> None:
    print(f"restored photos: {restored.used} used")
    # Photos of the label store that are not used, by reason.
    for count, reason in (
        (
            restored.unknown,
            "of unknown weather: their names do not begin with a weather (rain/...)",
        ),
        (restored.unrated, "without a rating in [1, 5]"),
        (restored.held_out, "whose photos are held out"),
    ):
        if count:
            print(f"  left out {count} {reason}")


def _print_accuracy(shares: dict[str, float], title: str) -> None:
    rows = [(weather, f"{share:.1%}") for weather, share in shares.items()]
    print_table(["weather", "accuracy"], rows, title, numbers=["accuracy"])


def _print_cosines(prompts: "WeatherPrompts", guide: "ClipGuide") -> dict[str, dict[str, float]]:
    """Print the cosines of the prompts and return them, keyed by two weathers."""
    features = prompts.features(guide)
    # Features have unit length, so their products are cosines, (4, 4).
    cosines = (features @ features.T).tolist()
    rows = []
    for weather, row in zip(WEATHERS, cosines):
        rows.append((weather, *(f"{value:.3f}" for value in row)))
    print_table(["", *WEATHERS], rows, "cosines of the prompts", numbers=WEATHERS)
    return {weather: dict(zip(WEATHERS, row)) for weather, row in zip(WEATHERS, cosines)}
