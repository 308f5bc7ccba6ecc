"""The blurs of the wild degradation pipeline."""

import math

import cv2
import numpy as np
from basicsr.data.degradations import circular_lowpass_kernel, random_mixed_kernels

from wxr_plugin.data.degradations.motion import path_kernel
from wxr_plugin.data.degradations.wild_settings import (
    WILD,
    BlurSettings,
    RingingSettings,
    WildOptions,
    load_psfs,
)


def blurred(
    image: np.ndarray, settings: BlurSettings, rng: np.random.Generator, options: WildOptions
) -> np.ndarray:
    """`image` (H, W, 3) after one random kernel, now and then with the ringing of a deconvolution."""
    side = 2 * int(rng.integers(settings.size[0] // 2, settings.size[1] // 2 + 1)) + 1
    if rng.random() < settings.sinc:
        lowest = math.pi / 3 if side < 13 else math.pi / 5
        return filtered(image, circular_lowpass_kernel(rng.uniform(lowest, math.pi), side))
    kernel, ringing = random_kernel(side, settings.sigma, rng, options), WILD.ringing
    result = filtered(image, kernel)
    if kernel.shape[0] < ringing.below and rng.random() < ringing.probability:
        result = _ringing(result, kernel, ringing, rng)
    return result


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """`image` (H, W, 3) correlated with `kernel` (k, k), or with one (k, k, 3) for each channel; edges reflect."""
    kernel = np.asarray(kernel, np.float32)
    if kernel.ndim == 2:
        return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    planes = [
        cv2.filter2D(image[..., c], -1, kernel[..., c], borderType=cv2.BORDER_REFLECT_101)
        for c in range(3)
    ]
    return np.stack(planes, 2)


def random_kernel(
    side: int, sigma: tuple[float, float], rng: np.random.Generator, options: WildOptions
) -> np.ndarray:
    """A kernel of a random kind, (side, side) or a little less for a line, or a camera's PSF of its own size; sum 1."""
    weights = {
        kind: weight for kind, weight in WILD.kernels.items() if kind != "psf" or options.psf
    }
    shares = np.array(list(weights.values()))
    kind = list(weights)[rng.choice(len(shares), p=shares / shares.sum())]
    if kind == "psf":
        psfs = load_psfs(options.psf)
        return psfs[rng.integers(len(psfs))][..., ::-1]  # images are BGR here
    if kind in SHAPES:
        return SHAPES[kind](side, rng)
    betas, turns = (WILD.generalized_beta, WILD.plateau_beta), (-math.pi, math.pi)
    return random_mixed_kernels(
        [kind], [1.0], side, sigma, sigma, turns, *betas, noise_range=WILD.kernel_noise
    )


def disk_kernel(side: int, rng: np.random.Generator) -> np.ndarray:
    """A lens out of focus: a disk of a random radius up to half the side, with a soft edge of one pixel."""
    middle = (side - 1) / 2
    across = np.arange(side) - middle
    kernel = np.clip(
        rng.uniform(min(1, middle), middle) + 0.5 - np.hypot(across[:, None], across), 0, 1
    )
    return kernel / kernel.sum()


def box_kernel(side: int, rng: np.random.Generator) -> np.ndarray:
    """The mean over a square; draws nothing."""
    return np.full((side, side), 1 / side**2)


def line_kernel(side: int, rng: np.random.Generator) -> np.ndarray:
    """A straight motion of `side` - 3 pixels in a random direction, so that its soft ends fit in."""
    angle = rng.uniform(0, math.pi)
    return path_kernel(
        np.linspace(-0.5, 0.5, 8 * side)[:, None] * (side - 3) * (math.cos(angle), math.sin(angle))
    )


SHAPES = {"disk": disk_kernel, "box": box_kernel, "line": line_kernel}


def wiener(image: np.ndarray, kernel: np.ndarray, balance: float) -> np.ndarray:
    """Wiener's deconvolution conj(H) / (|H|^2 + balance) of `image` (H, W, 3) by a kernel (k, k) or (k, k, 3)."""
    pad = kernel.shape[0]
    wide = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT)
    kernels = kernel if kernel.ndim == 3 else kernel[..., None]
    placed = np.zeros((*wide.shape[:2], kernels.shape[2]))
    placed[:pad, :pad] = kernels[::-1, ::-1]  # cv2.filter2D correlates
    placed = np.roll(placed, (-(pad // 2), -(pad // 2)), (0, 1))
    transfer = np.fft.rfft2(placed, axes=(0, 1))
    spectrum = np.fft.rfft2(wide, axes=(0, 1)) * transfer.conj() / (np.abs(transfer) ** 2 + balance)
    result = np.fft.irfft2(spectrum, wide.shape[:2], axes=(0, 1))[pad:-pad, pad:-pad]
    return np.clip(result, 0, 1).astype(np.float32)


def _ringing(
    blurry: np.ndarray, kernel: np.ndarray, ringing: RingingSettings, rng: np.random.Generator
) -> np.ndarray:
    sharp = wiener(blurry, kernel, ringing.balance)
    share = np.float32(rng.random() if rng.random() < ringing.blended else 1)
    return share * sharp + (1 - share) * blurry
