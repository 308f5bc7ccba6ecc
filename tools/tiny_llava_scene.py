"""Content of the tiny LLaVA's descriptions: light, colours, detail and layout of the clear view.

The clean photos have no object labels, so a description names what pixels show. The traits are
those of the view before the weather: to name the colours behind a veil, the model must look through
it.
"""

import cv2
import numpy as np
from tiny_llava_model import TEXTS

HUES = np.array([15, 42, 70, 165, 260])
"""Degrees at which the name of a colour gives way to the next; above 335 it is red again."""


def scene_traits(view: np.ndarray) -> np.ndarray:
    """Return indices into the lists of TEXTS["scene"], int64 (5,), for float RGB (H, W, 3).

    They are light, first colour, second colour, detail and layout.
    """
    small = cv2.resize(view, (48, 48), interpolation=cv2.INTER_AREA)
    luminance = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    light = np.digitize(luminance.mean(), (0.3, 0.55))
    edges = np.abs(cv2.Laplacian(luminance, cv2.CV_32F)).mean()
    detail = np.digitize(edges, (0.06, 0.16))
    rise = luminance[:16].mean() - luminance[32:].mean()
    layout = np.digitize(rise, (-0.12, 0.12))
    return np.array([light, *_two_colours(small), detail, layout])


def _two_colours(small: np.ndarray) -> tuple[int, int]:
    """Return the two most frequent colours; the second is the first if it covers nearly all."""
    hue, saturation, value = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))
    names = 1 + np.digitize(hue, HUES)
    names[hue > 335] = 1
    # The first name of the list is grey: pixels with little colour.
    names[saturation * value < 0.08] = 0
    shares = np.bincount(names.ravel(), minlength=len(TEXTS["scene"]["colour"])) / names.size
    first, second = np.argsort(-shares, kind="stable")[:2]
    return int(first), int(second if shares[second] > 0.12 else first)


def scene_text(traits: np.ndarray) -> str:
    """Return a noun phrase such as "bright green and blue scene with many fine details"."""
    light, first, second, detail, layout = (int(trait) for trait in traits)
    words = TEXTS["scene"]
    colours = words["colour"][first]
    if second != first:
        colours += f" and {words['colour'][second]}"
    phrase = f"{words['light'][light]} {colours} scene with {words['detail'][detail]}"
    return f"{phrase} {words['layout'][layout]}".strip()
