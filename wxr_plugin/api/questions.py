"""Questions about images: their rating, their description, their visibility, their degradation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from wxr_plugin.api.images import eight_bit_rgb, is_several
from wxr_plugin.errors import WxrError

T = TypeVar("T")
Spec = str | Mapping[str, Any]
"""A rater or describer: a word as on the command line (docs/raters.md), or a block of options."""


class Degradation(NamedTuple):
    """The degradation of an image according to DA-CLIP."""

    word: str
    """The most probable word."""
    probability: float
    probabilities: dict[str, float]
    """All words, most probable first; their probabilities sum to 1."""


def rate(image: Any, rater: Spec = "tiny", *, device: str | None = None) -> Any:
    """Return the rating of an image by a vision-language model, from 1 (bad) to 5 (excellent).

    Args:
        image: a path, an image of Pillow, an array or a tensor; a list of these gives a list.
        rater: "tiny" (packaged), MODEL or MODEL:PROMPT, hf://OWNER/NAME, pyiqa:METRIC,
            http://HOST:PORT/v1#MODEL, FILE.yml, or a block of options.
        device: device of a model that runs here (default: a GPU if there is one).

    Returns:
        A float; NaN if the model gave no usable answer.

    Raises:
        WxrError: the image cannot be read, or the rater cannot be loaded or does not answer.
    """
    from wxr_plugin.vlm.rater import build_rater

    built = build_rater(block_of("rater", rater, device))
    return _of_all(image, lambda images: built.rate(images).rating.tolist())


def vlm_vis(image: Any, rater: Spec = "tiny", *, device: str | None = None) -> Any:
    """Return the visibility of the scene, VLM-Vis, in [0, 1]; higher is better.

    Arguments and errors are those of `rate`.
    """
    from wxr_plugin.metrics.vlm_vis_metric import visibility

    ratings = rate(image, rater, device=device)
    return [visibility(rating) for rating in ratings] if is_several(image) else visibility(ratings)


def describe(image: Any, describer: Spec = "tiny", *, device: str | None = None) -> Any:
    """Return a text about an image and its weather; it is empty if the answer is not usable.

    `describer` is "tiny" (packaged), MODEL or MODEL:PROMPT, http://HOST:PORT/v1#MODEL, FILE.yml, or
    a block of options; the other arguments and errors are those of `rate`.
    """
    from wxr_plugin.vlm.describer import build_describer

    built = build_describer(block_of("describer", describer, device))
    return _of_all(image, built.describe)


def degradation(
    image: Any,
    model: str = "tiny",
    *,
    words: Sequence[str] | None = None,
    device: str | None = None,
) -> Any:
    """Return the degradation of an image according to DA-CLIP.

    Args:
        image: as for `rate`.
        model: "tiny" (packaged), or the file of a DA-CLIP.
        words: degradations to choose from (default: DA-CLIP's ten).
        device: device of the model (default: a GPU if there is one).

    Raises:
        WxrError: the image cannot be read, or the file is missing or holds no DA-CLIP.
    """
    from wxr_plugin.conditioning.guides import load_daclip
    from wxr_plugin.data.degradations.words import DEGRADATIONS
    from wxr_plugin.utils.devices import device_of

    choices = list(DEGRADATIONS if words is None else words)
    if not choices or isinstance(words, str) or len(set(choices)) < len(choices):
        raise WxrError("words: give a list of degradations, each once, such as ['hazy', 'rainy']")
    guide = load_daclip(model, device_of(device))

    def classify(images: list[np.ndarray]) -> list[Degradation]:
        # Photos differ in size, so they are classified one at a time.
        return [_classified(pixels, guide, choices) for pixels in images]

    return _of_all(image, classify)


def block_of(kind: str, spec: Spec, device: str | None = None) -> dict[str, Any]:
    """Return the block of options of a "rater" or "describer" that `spec` names.

    Raises:
        WxrError: `spec` names none.
    """
    from wxr_plugin.options.vlm_specs import spec_options

    block = dict(spec) if isinstance(spec, Mapping) else spec_options(kind, str(spec))
    return block if device is None else {**block, "device": device}


def _of_all(image: Any, answer: Callable[[list[np.ndarray]], Sequence[T]]) -> T | list[T]:
    """Return the answer about `image`, or a list of answers about several images."""
    if is_several(image):
        return list(answer([eight_bit_rgb(single) for single in image]))
    (single_answer,) = answer([eight_bit_rgb(image)])
    return single_answer


def _classified(pixels: np.ndarray, guide: Any, words: list[str]) -> Degradation:
    import torch

    # (H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    # (K,); a stable order, so that equal words keep that of `words`.
    values, places = guide.classify(tensor, words)[0].sort(descending=True, stable=True)
    ordered = [words[place] for place in places.tolist()]
    probabilities = dict(zip(ordered, values.tolist()))
    return Degradation(ordered[0], probabilities[ordered[0]], probabilities)
