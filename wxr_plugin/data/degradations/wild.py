"""The degradations of the in-the-wild DA-CLIP, drawn on clean photos: three stages, each in a random order.

Luo et al., CVPRW 2024 (arXiv 2404.09732). The settings stand in `wild_degradation.yml`; kernels,
sinc filter and noise are BasicSR's own functions, which Real-ESRGAN brought there (its JPEG hands
floats to OpenCV, which warns of it). What is not known of the authors' code is our choice: the
radius of the defocus disk (1 pixel to half the kernel), and the share that a blended ringing has
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
NOTHING = WildOptions()


def wild_degrade(
    image: np.ndarray, rng: np.random.Generator, options: WildOptions = NOTHING
) -> np.ndarray:
    """A copy of a clean photo, float32 RGB (H, W, 3) in [0, 1], degraded; values are multiples of 1/255.

    The same state of `rng` draws the same; python's and numpy's global generators, which BasicSR's
    functions use, are left as they were. Raises WxrError for a file of PSFs that is none.
    """
    with random_state(int(rng.integers(1 << 32))) as own:
        picture = _Picture(np.ascontiguousarray(image[..., ::-1]), own, options)
        for stage in WILD.stages:
            for step in own.permutation(stage.steps):
                getattr(picture, step)(stage)
    return np.round(np.clip(picture.bgr, 0, 1)[..., ::-1] * np.float32(255)) / np.float32(255)


def wild_clean(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The clean photo (H, W, 3) of a wild pair: grey in one of ten cases."""
    if rng.random() >= WILD.grey:
        return image
    return cv2.cvtColor(
        cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB
    )


class _Picture:
    """The picture on its way through the stages; its methods are named after the steps."""

    def __init__(self, bgr: np.ndarray, rng: np.random.Generator, options: WildOptions):
        self.bgr, self.rng, self.options = bgr, rng, options
        self.size = bgr.shape[1::-1]
        self.resized = rng.random() < WILD.resize

    def blur(self, stage: StageSettings) -> None:
        if self.rng.random() < stage.blur.probability:
            self.bgr = blurred(self.bgr, stage.blur, self.rng, self.options)
        elif self.rng.random() < stage.display and self.options.display_psf:
            psfs = load_psfs(self.options.display_psf)
            self.bgr = filtered(self.bgr, psfs[self.rng.integers(len(psfs))][..., ::-1])

    def resize(self, stage: StageSettings) -> None:
        scale = self.rng.uniform(*WILD.scale)
        self._to([max(1, round(length / scale)) for length in self.size])

    def resize_back(self, stage: StageSettings) -> None:
        self._to(self.size)

    def noise(self, stage: StageSettings) -> None:
        if self.rng.random() >= stage.noise:
            return
        settings = WILD.noise
        if self.rng.random() < settings.gaussian:
            self.bgr = random_add_gaussian_noise(
                self.bgr, settings.sigma, settings.grey, clip=True, rounds=True
            )
        if self.rng.random() < settings.poisson:
            bgr = np.ascontiguousarray(self.bgr, np.float32)
            self.bgr = random_add_poisson_noise(
                bgr, settings.strength, settings.grey, clip=True, rounds=True
            )
        self.bgr = np.ascontiguousarray(self.bgr, np.float32)

    def jpeg(self, stage: StageSettings) -> None:
        if self.rng.random() < stage.jpeg:
            rgb = through_jpeg(self.bgr[..., ::-1], round(self.rng.uniform(*stage.quality)))
            self.bgr = np.ascontiguousarray(rgb[..., ::-1])

    def _to(self, size: tuple[int, int] | list[int]) -> None:
        if self.resized:
            interpolation = INTERPOLATIONS[self.rng.integers(3)]
            self.bgr = cv2.resize(self.bgr, size, interpolation=interpolation)
