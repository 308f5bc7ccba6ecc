"""Captions of the tiny CLIP's training pictures, and the pictures that each is true of."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import yaml

from wxr_plugin.data.weather.synthesis import WEATHERS

TEXTS = yaml.safe_load(Path(__file__).with_name("tiny_clip_texts.yml").read_text(encoding="utf-8"))
UNSAID = -1
LOOKS = ("brightness", "colours", "details")


def traits(view: np.ndarray, weather: int, severity: float) -> np.ndarray:
    """Return what captions may name, int64 (5,): weather, strength, looks of the clean view.

    `view` is float RGB (H, W, 3). Strength is the third of [0, 1] that the severity lies in; looks
    are indices of the lists in tiny_clip_texts.yml, from mean luminance, the most frequent hue by
    saturation, and mean contrast.
    """
    small = cv2.resize(view, (48, 48), interpolation=cv2.INTER_AREA)
    hue, saturation, value = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))
    luminance = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    contrast = np.abs(cv2.Laplacian(luminance, cv2.CV_32F)).mean()
    strength = UNSAID if WEATHERS[weather] == "clear" else min(int(3 * severity), 2)
    bright, detail = np.digitize(luminance.mean(), (0.3, 0.55)), np.digitize(contrast, (0.06, 0.16))
    return np.array([weather, strength, bright, _colour(hue, saturation * value), detail])


def _colour(hue: np.ndarray, chroma: np.ndarray) -> int:
    if chroma.mean() < 0.08:
        return 0
    edges = np.array(
        [15, 42, 70, 165, 260]
    )  # degrees where one colour's name gives way to the next; red wraps
    names = 1 + np.digitize(hue, edges)
    names[hue > 335] = 1
    return int(np.bincount(names.ravel(), chroma.ravel(), minlength=7).argmax())


def caption(seen: np.ndarray, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """Return a true sentence on a picture with the traits `seen`, and the traits that it names.

    The latter are as `seen`, UNSAID where the sentence is silent.
    """
    said = np.full(5, UNSAID)
    sentence = str(rng.choice(TEXTS["sentences"]))
    looks, weather = "", ""
    if "{look}" in sentence:
        chosen = np.flatnonzero(rng.random(3) < 0.6)
        said[2 + chosen] = seen[2 + chosen]
        looks = " ".join(TEXTS[LOOKS[i]][seen[2 + i]] for i in chosen)
    if "{weather}" in sentence:
        said[0] = seen[0]
        weather = str(rng.choice(TEXTS["weather"][WEATHERS[seen[0]]]))
        if "{strength}" in weather:
            said[1] = seen[1]
            weather = weather.format(strength=rng.choice(TEXTS["strengths"][seen[1]]))
    return " ".join(sentence.format(look=looks, weather=weather).split()), said


def holds(said: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return which caption (traits `said`) is true of which picture (`seen`): bool (T, N)."""
    return ((said[:, None] == UNSAID) | (said[:, None] == seen[None])).all(axis=2)


def corpus() -> Iterator[str]:
    """Return every phrase, for the tokenizer to learn its words from."""
    yield TEXTS["vocabulary"]
    for phrases, strengths in product(TEXTS["weather"].values(), TEXTS["strengths"]):
        for phrase, strength in product(phrases, strengths):
            yield phrase.format(strength=strength)
    for sentence, colour, bright, detail in product(
        *(TEXTS[key] for key in ("sentences", "colours", *LOOKS[::2]))
    ):
        yield sentence.format(look=f"{bright} {colour} {detail}", weather="")
