"""`wxr restore` of a video."""

import argparse
import time
from pathlib import Path
from typing import Any

from wxr_plugin.cli.restore_display import counted, duration, run_line
from wxr_plugin.cli.restore_network import load_restorer
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.memory import reuse_memory
from wxr_plugin.inference.packaged import checkpoint_path
from wxr_plugin.utils.files import check_parents
from wxr_plugin.utils.progress import progress_bar
from wxr_plugin.video.reading import is_sequence, is_video, open_video, video_info
from wxr_plugin.video.restoring import VideoResult, VideoSettings, restore_video
from wxr_plugin.video.writing import check_output

RESULT_OPTIONS = (
    *("method", "checkpoint", "opt", "guide", "instruction", "precision", "tile", "overlap"),
    *("steps", "sampler", "stride", "seed", "engine"),
)
"""Options of the command line that change the result."""


def names_video(photos: list[Path]) -> bool:
    """Return whether the command line names a video.

    Raises:
        WxrError: it names something else next to it.
    """
    videos = [photo for photo in photos if is_video(photo)]
    if videos and len(photos) > 1:
        raise WxrError(f"{videos[0]} is a video: restore it in a call of its own")
    return bool(videos)


def run(args: argparse.Namespace) -> dict[str, list]:
    """Restore one video, and return the outcome for JSON."""
    source: Path = args.photos[0]
    output = _output(source, args.output)
    check(args, source, output)
    check_parents(output)
    pair = {"photo": source, "result": output}
    result: dict[str, list] = {"existing": [], "failed": [], "restored": [], "skipped": []}
    if output.exists() and not args.overwrite:
        _note(args, f"{output} exists (--overwrite restores it again)")
        return {**result, "existing": [output]}
    with open_video(source, args.rate) as container:
        info = video_info(container, source)
    if args.dry_run:
        print(f"{source} -> {output}: {_about(info)}")
        return {**result, "to_restore": [pair]}
    started = time.monotonic()
    restored = _restored(source, output, args)
    for note in restored.notes:
        print(f"{source}: {note}")
    flicker = f"flicker {restored.flicker_before:.2f} -> {restored.flicker_after:.2f} of 255 levels"
    spent = duration(time.monotonic() - started)
    _note(args, f"{counted(restored.frames, 'frame')} restored in {spent}: {output}; {flicker}")
    facts = {
        "frames": restored.frames,
        "flicker_before": restored.flicker_before,
        "flicker_after": restored.flicker_after,
    }
    if not restored.complete:
        result["failed"] = [{"photo": source, "error": restored.notes[0]}]
    return {**result, "restored": [pair | facts]}


def check(args: argparse.Namespace, source: Path, output: Path) -> None:
    """Raise WxrError with every option that does not go with a video."""
    check_output(output)
    problems = []
    if not 0 <= args.smooth < 1:
        problems.append(f"--smooth {args.smooth}: take 0 or more, and less than 1")
    if args.format or args.quality:
        problems.append("--format and --quality are for photos: leave them out")
    if args.rate is not None and not is_sequence(source):
        problems.append("--rate is for a sequence of images; a video has its own rate")
    if args.rate is not None and args.rate <= 0:
        problems.append(f"--rate {args.rate}: take a number of frames a second above 0")
    if output.resolve() == source.resolve():
        problems.append(f"{source} would be overwritten by its own result; name another with -o")
    if problems:
        raise WxrError("; ".join(problems))


def _restored(source: Path, output: Path, args: argparse.Namespace) -> VideoResult:
    restorer = load_restorer(args)
    if restorer.diffusion:
        # Frames that start from different noise flicker.
        restorer.diffusion = restorer.diffusion.checked(True)
    if restorer.device.type == "cpu":
        reuse_memory()
    _note(args, run_line(restorer, args.method, args.checkpoint))
    settings = VideoSettings(_network(args), args.smooth, args.rate)
    bar = progress_bar(None, elapsed=False)
    task = bar.add_task("restoring", total=None, note="")
    with bar:
        return restore_video(
            source,
            output,
            restorer.restore,
            settings,
            # The count in a file's header may be too small.
            lambda done, total: bar.update(task, completed=done, total=max(done, total)),
        )


def _network(args: argparse.Namespace) -> str:
    """Return a text that changes with the network, its weights and what else shapes the result."""
    options: dict[str, Any] = {name: str(getattr(args, name)) for name in RESULT_OPTIONS}
    for path in args.checkpoint or []:
        file = Path(checkpoint_path(path))
        if file.is_file():
            options[str(path)] = (file.stat().st_size, file.stat().st_mtime_ns)
    return repr(options)


def _output(source: Path, output: Path) -> Path:
    """Return the file of the result: -o, or a file of the source's name in the folder -o."""
    if not output.is_dir() and output.suffix:
        return output
    name = f"{source.parent.name or 'frames'}.mp4" if is_sequence(source) else source.name
    return output / name


def _about(info: Any) -> str:
    count = f"about {info.count} frames" if info.count else "an unknown number of frames"
    return f"{count} of {info.width}x{info.height} at {float(info.rate):g} a second"


def _note(args: argparse.Namespace, line: str) -> None:
    """Print a line that is no result, unless -q was given."""
    if not getattr(args, "quiet", False):
        print(line)
