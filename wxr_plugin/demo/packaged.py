"""The packaged network on the held-out pairs, which no training of the demo validates."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.utils.files import write_text
from wxr_plugin.utils.hashing import sha256_of
from wxr_plugin.utils.progress import counting_bar
from wxr_plugin.wresvlm.report.decisions import psnr
from wxr_plugin.wresvlm.report.scores import by_weather

Means = dict[str, dict[str, float]]
"""Style -> weather -> mean PSNR in dB over RGB."""


def held_out(pairs: Path, styles: Sequence[str], checkpoint: Path, cache: Path) -> Means:
    """Return the PSNR of the checkpoint's network on the held-out pairs.

    Args:
        pairs: folder with lq/ and gt/ of each style.
        styles: names of its sub-folders.
        checkpoint: the packaged weights.
        cache: JSON file of the means, which are measured again for other weights.
    """
    digest = sha256_of(checkpoint)
    cached = _cached(cache, digest, styles)
    if cached:
        return cached
    restorer = Restorer.from_checkpoint(checkpoint)
    files = {style: list_images(pairs / style / "lq") for style in styles}
    means = {}
    with counting_bar("the packaged network", sum(map(len, files.values()))) as advance:
        for style, photos in files.items():
            values = []
            for file in photos:
                values.append((file.parent.name, _measured(restorer, file)))
                advance(1, "")
            means[style] = by_weather(values)
    write_text(cache, json.dumps({"weights": digest, "psnr": means}, indent=1))
    return means


def _measured(restorer: Restorer, file: Path) -> float:
    """Return the PSNR of the restoration of STYLE/lq/WEATHER/NAME."""
    truth = read_image(file.parents[2] / "gt" / file.parent.name / file.name)
    return psnr(restorer.restore(read_image(file)), truth)


def _cached(cache: Path, digest: str, styles: Sequence[str]) -> Means:
    """Return the stored means; empty if there are none, or those of other weights."""
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WxrError(f"{cache}: {error}; remove it") from error
    is_same = isinstance(content, Mapping) and content.get("weights") == digest
    means = content.get("psnr", {}) if is_same else {}
    return means if set(styles) == set(means) else {}
