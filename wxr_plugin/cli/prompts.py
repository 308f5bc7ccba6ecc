"""`wxr prompts`: learn the weather prompts of WResVLM, and look at what a file of them knows."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.errors import WxrError

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide
    from wxr_plugin.conditioning.prompts import WeatherPrompts
    from wxr_plugin.prompt_learning.restored import EncodedRestorations


LEARN_EXAMPLE = """example:
  wxr prompts learn --clear gt/ --rain rain/ --haze haze/ --snow snow/ -o prompts.safetensors
  wxr prompts learn --synthetic gt/ --crop-size 96 -o prompts.safetensors
  wxr prompts learn --synthetic gt/ --pseudo-labels labels.lmdb -o prompts2.safetensors
"""
CHECK_EXAMPLE = """example:
  wxr prompts check prompts.safetensors
  wxr prompts check prompts.safetensors --clear gt/ --rain rain/ --haze haze/ --snow snow/
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `prompts` with `learn` and `check` to the `wxr` command."""
    parser = subparsers.add_parser(
        "prompts",
        help="learn the prompts of the weather prompt loss",
        description="Four learnt text prompts (clear, rain, haze, snow) that sort photos through a frozen CLIP.",
        epilog=LEARN_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    _add_learn(actions)
    _add_check(actions)


def _add_learn(actions: argparse._SubParsersAction) -> None:
    parser = _add_action(
        actions, "learn", "learn prompts from photos, with a held-out test", LEARN_EXAMPLE
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="safetensors file to write"
    )
    parser.add_argument(
        "--clip", default="tiny", help="tiny, or ARCHITECTURE:WEIGHTS of open_clip (default: tiny)"
    )
    parser.add_argument(
        "--pseudo-labels",
        metavar="STORE",
        help="label store whose restored photos join, as clear as they are rated",
    )
    parser.add_argument(
        "--iterations", type=int, default=200, help="Adam steps (default: 200, for the tiny CLIP)"
    )
    parser.add_argument(
        "--lr", type=float, default=2e-3, help="learning rate (default: 2e-3, for the tiny CLIP)"
    )
    _add_photos(parser)
    parser.set_defaults(func=learn)


def _add_check(actions: argparse._SubParsersAction) -> None:
    parser = _add_action(
        actions, "check", "what a file of prompts is, and how well it sorts photos", CHECK_EXAMPLE
    )
    parser.add_argument("prompts", type=Path, help="file written by `wxr prompts learn`")
    _add_photos(parser)
    parser.set_defaults(func=check)


def _add_action(
    actions: argparse._SubParsersAction, name: str, help: str, example: str
) -> argparse.ArgumentParser:
    return actions.add_parser(
        name,
        help=help,
        description=help,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_photos(parser: argparse.ArgumentParser) -> None:
    for weather in WEATHERS:
        parser.add_argument(
            f"--{weather}", metavar="FOLDER", help=f"{weather} photos: a folder or an .lmdb"
        )
    parser.add_argument(
        "--synthetic", metavar="CLEAR_FOLDER", help="clear photos, to be used in all four weathers"
    )
    parser.add_argument(
        "--crops",
        type=int,
        default=4,
        help="random crops of each photo beside the whole (default 4)",
    )
    parser.add_argument(
        "--crop-size", type=int, default=224, help="their side; take that of the training crops"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the held-out fifth, crops, weather and start"
    )
    parser.add_argument(
        "--device", help="cpu, cuda, cuda:1, ...; the GPU if there is one when absent"
    )


def learn(args: argparse.Namespace) -> int:
    """Encode the photos once, fit the prompts to four fifths of them, print the accuracy on the rest, save."""
    from wxr_plugin.prompt_learning.learning import PromptOptions, learn_prompts
    from wxr_plugin.utils.devices import device_of
    from wxr_plugin.utils.progress import track

    if args.iterations < 1 or args.lr <= 0:
        raise WxrError("--iterations and --lr must be positive")
    more = {"pseudo_labels": args.pseudo_labels, "iterations": args.iterations, "lr": args.lr}
    device = device_of(args.device)
    learnt = learn_prompts(
        PromptOptions(clip=args.clip, **more, **_photo_options(args)), track, device
    )
    learnt.prompts.save(args.output)
    _print_passed_over(learnt.bad)
    if learnt.restored:
        _print_restored(learnt.restored)
    _print_accuracy(learnt.accuracy, f"held-out accuracy ({learnt.held_out} photos and crops)")
    print(f"wrote {args.output}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Print which CLIP the prompts belong to and how alike they are; with photos, how well they sort all of these."""
    from wxr_plugin.conditioning.clip import load_clip
    from wxr_plugin.conditioning.prompts import WeatherPrompts, accuracy
    from wxr_plugin.prompt_learning.learning import PromptPhotoOptions, encode_photos
    from wxr_plugin.prompt_learning.photos import list_photos
    from wxr_plugin.utils.devices import device_of
    from wxr_plugin.utils.progress import track

    clip = WeatherPrompts.load(args.prompts).clip
    guide = load_clip(clip, device_of(args.device))
    prompts = WeatherPrompts.load(args.prompts, guide)
    print(f"{args.prompts}: {', '.join(WEATHERS)}; CLIP '{clip}', weights {prompts.sha256[:12]}")
    _print_cosines(prompts, guide)
    if args.synthetic or any(getattr(args, weather) for weather in WEATHERS):
        options = PromptPhotoOptions(**_photo_options(args))
        photos = list_photos(options.photos, options.synthetic, options.seed)
        data = encode_photos(options, guide, photos, track)
        _print_passed_over(data.bad)
        _print_accuracy(
            accuracy(prompts, data.features, data.classes, guide),
            f"accuracy ({len(data.classes)} views)",
        )
    return 0


def _photo_options(args: argparse.Namespace) -> dict[str, Any]:
    if args.crops < 0 or args.crop_size < 1:
        raise WxrError("--crops must not be negative and --crop-size must be positive")
    folders = {weather: getattr(args, weather) for weather in WEATHERS if getattr(args, weather)}
    same = {key: getattr(args, key) for key in ("synthetic", "crops", "crop_size", "seed")}
    return {"photos": folders, **same}


def _print_passed_over(bad: list[str]) -> None:
    for reason in bad:
        print(f"passed over: {reason}")


def _print_restored(restored: "EncodedRestorations") -> None:
    print(f"restored photos: {restored.used} joined")
    for count, reason in (
        (restored.unknown, "of unknown weather: their names do not begin with a weather (rain/…)"),
        (restored.unrated, "without a rating in [1, 5]"),
        (restored.held_out, "whose photos are held out"),
    ):
        if count:
            print(f"  left out {count} {reason}")


def _print_accuracy(shares: dict[str, float], title: str) -> None:
    print(title)
    for weather, share in shares.items():
        print(f"  {weather:<6} {share:6.1%}")


def _print_cosines(prompts: "WeatherPrompts", guide: "ClipGuide") -> None:
    features = prompts.features(guide)
    print("cosines of the prompts")
    for weather, row in zip(WEATHERS, (features @ features.T).tolist()):
        print(f"  {weather:<6}" + "".join(f" {value:6.3f}" for value in row))
