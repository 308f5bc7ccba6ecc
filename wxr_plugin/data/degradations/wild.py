"""Degradations of the in-the-wild DA-CLIP on clean photos: three stages of steps in random order.

Luo et al., CVPRW 2024 (arXiv 2404.09732). The settings are in `wild_degradation.yml`; kernels, sinc
filter and noise are BasicSR's functions, which come from Real-ESRGAN (its JPEG passes floats to
OpenCV, which warns about it). Two details of the authors' code are not known and our choice: the
radius of the defocus disk (1 pixel to half the kernel), and the share of a blended ringing
(uniform).
"""

import cv2
import numpy as np
from basicsr.data.degradations import random_add_gaussian_noise, random_add_poisson_noise

from wxr_plugin.data.degradations.apply import through_jpeg
from wxr_plugin.data.degradations.wild_blur import blurred, filtered
from wxr_plugin.data.degradations.wild_settings import WILD, StageSettings, WildOptions, load_psfs
from wxr_plugin.data.seeding import random_state

INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LINEAR)
NO_FILES = WildOptions()


def wild_degrade(
    image: np.ndarray,
    rng: np.random.Generator,
    options: WildOptions = NO_FILES,
) -> np.ndarray:
    """Return a degraded copy of a clean photo, float32 RGB (H, W, 3) in [0, 1].

    Values of the result are multiples of 1/255. The same state of `rng` draws the same result;
    python's and numpy's global generators, which BasicSR's functions use, are restored.

    Raises:
        WxrError: a file of PSFs is not one.
    """
    bgr = np.ascontiguousarray(image[..., ::-1])
    seed = int(rng.integers(1 << 32))
    with random_state(seed) as own:
        picture = _Picture(bgr, own, options)
        for stage in WILD.stages:
            for step in own.permutation(stage.steps):
                draw = getattr(picture, step)
                draw(stage)
    clipped = np.clip(picture.bgr, 0, 1)
    rgb = clipped[..., ::-1]
    levels = np.round(rgb * np.float32(255))
    return levels / np.float32(255)


def wild_clean(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the clean photo (H, W, 3) of a wild pair, which is grey in one of ten cases."""
    if rng.random() >= WILD.grey:
        return image
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


class _Picture:
    """A picture that passes the stages; its methods are named after the steps."""

    def __init__(self, bgr: np.ndarray, rng: np.random.Generator, options: WildOptions):
        self.bgr = bgr
        self.rng = rng
        self.options = options
        self.size = bgr.shape[1::-1]  # (width, height), as OpenCV has it
        # Resizing is decided once for all stages: a picture is resized and back, or neither.
        self.resized = rng.random() < WILD.resize

    def blur(self, stage: StageSettings) -> None:
        if self.rng.random() < stage.blur.probability:
            self.bgr = blurred(self.bgr, stage.blur, self.rng, self.options)
        elif self.rng.random() < stage.display and self.options.display_psf:
            psfs = load_psfs(self.options.display_psf)
            psf = psfs[self.rng.integers(len(psfs))]
            bgr_psf = psf[..., ::-1]
            self.bgr = filtered(self.bgr, bgr_psf)

    def resize(self, stage: StageSettings) -> None:
        scale = self.rng.uniform(*WILD.scale)
        size = [max(1, round(length / scale)) for length in self.size]
        self._to(size)

    def resize_back(self, stage: StageSettings) -> None:
        self._to(self.size)

    def noise(self, stage: StageSettings) -> None:
        if self.rng.random() >= stage.noise:
            return
        settings = WILD.noise
        if self.rng.random() < settings.gaussian:
            self.bgr = random_add_gaussian_noise(
                self.bgr,
                settings.sigma,
                settings.grey,
                clip=True,
                rounds=True,
            )
        if self.rng.random() < settings.poisson:
            bgr = np.ascontiguousarray(self.bgr, np.float32)
            self.bgr = random_add_poisson_noise(
                bgr,
                settings.strength,
                settings.grey,
                clip=True,
                rounds=True,
            )
        self.bgr = np.ascontiguousarray(self.bgr, np.float32)

    def jpeg(self, stage: StageSettings) -> None:
        if self.rng.random() < stage.jpeg:
            quality = round(self.rng.uniform(*stage.quality))
            rgb = self.bgr[..., ::-1]
            compressed = through_jpeg(rgb, quality)
            self.bgr = np.ascontiguousarray(compressed[..., ::-1])

    def _to(self, size: tuple[int, int] | list[int]) -> None:
        if self.resized:
            number = self.rng.integers(len(INTERPOLATIONS))
            interpolation = INTERPOLATIONS[number]
            self.bgr = cv2.resize(self.bgr, size, interpolation=interpolation)
