"""Blurs of the wild degradation pipeline."""

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
    image: np.ndarray,
    settings: BlurSettings,
    rng: np.random.Generator,
    options: WildOptions,
) -> np.ndarray:
    """Blur `image` (H, W, 3) by a random kernel, sometimes with the ringing of a deconvolution."""
    smallest, largest = settings.size
    half = int(rng.integers(smallest // 2, largest // 2 + 1))
    side = 2 * half + 1
    if rng.random() < settings.sinc:
        # Cut-off frequency of the low-pass filter; the limits are Real-ESRGAN's.
        lowest = math.pi / 3 if side < 13 else math.pi / 5
        cutoff = rng.uniform(lowest, math.pi)
        low_pass = circular_lowpass_kernel(cutoff, side)
        return filtered(image, low_pass)
    kernel = random_kernel(side, settings.sigma, rng, options)
    result = filtered(image, kernel)
    ringing = WILD.ringing
    is_small = kernel.shape[0] < ringing.below
    if is_small and rng.random() < ringing.probability:
        result = _ringing(result, kernel, ringing, rng)
    return result


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate `image` (H, W, 3) with `kernel` (k, k), or (k, k, 3) by channel; edges reflect."""
    kernel = np.asarray(kernel, np.float32)
    if kernel.ndim == 2:
        return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    planes = []
    for channel in range(3):
        plane = image[..., channel]
        plane_kernel = kernel[..., channel]
        result = cv2.filter2D(plane, -1, plane_kernel, borderType=cv2.BORDER_REFLECT_101)
        planes.append(result)
    return np.stack(planes, 2)


def random_kernel(
    side: int,
    sigma: tuple[float, float],
    rng: np.random.Generator,
    options: WildOptions,
) -> np.ndarray:
    """Return a kernel of a random kind with sum 1.

    It is (side, side), or a little smaller for a line, or a camera's PSF (k, k, 3) in BGR.
    """
    weights = dict(WILD.kernels)
    if not options.psf:
        weights.pop("psf", None)
    kinds = list(weights)
    shares = np.array(list(weights.values()))
    number = rng.choice(len(kinds), p=shares / shares.sum())
    kind = kinds[number]
    if kind == "psf":
        psfs = load_psfs(options.psf)
        psf = psfs[rng.integers(len(psfs))]
        return psf[..., ::-1]  # RGB to BGR
    if kind in SHAPES:
        return SHAPES[kind](side, rng)
    return random_mixed_kernels(
        [kind],
        [1.0],
        side,
        sigma,
        sigma,
        (-math.pi, math.pi),
        WILD.generalized_beta,
        WILD.plateau_beta,
        noise_range=WILD.kernel_noise,
    )


def disk_kernel(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return the kernel (side, side) of a defocused lens, a disk with a soft edge of one pixel.

    Its radius is random, up to half the side.
    """
    middle = (side - 1) / 2
    across = np.arange(side) - middle
    smallest = min(1, middle)
    radius = rng.uniform(smallest, middle)
    distance = np.hypot(across[:, None], across)
    kernel = np.clip(radius + 0.5 - distance, 0, 1)
    return kernel / kernel.sum()


def box_kernel(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return the kernel of the mean over a square; draws nothing."""
    return np.full((side, side), 1 / side**2)


def line_kernel(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return the kernel of a straight motion of `side` - 3 pixels in a random direction."""
    angle = rng.uniform(0, math.pi)
    direction = (math.cos(angle), math.sin(angle))
    # Eight places a pixel make the line dense.
    places = np.linspace(-0.5, 0.5, 8 * side)
    # 3 pixels less, so that the soft ends fit in.
    length = side - 3
    path = places[:, None] * length * direction
    return path_kernel(path)


SHAPES = {"disk": disk_kernel, "box": box_kernel, "line": line_kernel}


def wiener(image: np.ndarray, kernel: np.ndarray, balance: float) -> np.ndarray:
    """Deconvolve `image` (H, W, 3) by a kernel (k, k) or (k, k, 3) with Wiener's filter.

    The filter is conj(H) / (|H|^2 + balance), with H the kernel's transfer function.
    """
    pad = kernel.shape[0]
    wide = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT)
    height, width = wide.shape[:2]
    kernels = kernel if kernel.ndim == 3 else kernel[..., None]
    # The kernel in a corner of an empty picture, its centre at (0, 0), turned around because
    # cv2.filter2D correlates.
    placed = np.zeros((height, width, kernels.shape[2]))
    placed[:pad, :pad] = kernels[::-1, ::-1]
    half = pad // 2
    placed = np.roll(placed, (-half, -half), (0, 1))
    transfer = np.fft.rfft2(placed, axes=(0, 1))
    power = np.abs(transfer) ** 2
    spectrum = np.fft.rfft2(wide, axes=(0, 1))
    deconvolved = spectrum * transfer.conj() / (power + balance)
    sharp = np.fft.irfft2(deconvolved, (height, width), axes=(0, 1))
    inner = sharp[pad:-pad, pad:-pad]
    return np.clip(inner, 0, 1).astype(np.float32)


def _ringing(
    blurry: np.ndarray,
    kernel: np.ndarray,
    ringing: RingingSettings,
    rng: np.random.Generator,
) -> np.ndarray:
    """Blend the deconvolved picture with the blurry one by a random share, or return it alone."""
    sharp = wiener(blurry, kernel, ringing.balance)
    share = np.float32(1)
    if rng.random() < ringing.blended:
        share = np.float32(rng.random())
    return share * sharp + (1 - share) * blurry
