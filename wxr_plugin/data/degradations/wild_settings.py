"""Settings of the wild degradation pipeline, read from `wild_degradation.yml`."""

from functools import lru_cache
from importlib import resources

import msgspec
import numpy as np

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import Block, ExistingPath

Range = tuple[float, float]


class WildOptions(Block, frozen=True):
    """Files of the wild pipeline: the authors' PSFs belong to their repository, not to this one."""

    psf: ExistingPath | None = None
    """.npz of camera PSFs, arrays (k, k) or (k, k, 3), RGB; without it no PSFs are drawn."""
    display_psf: ExistingPath | None = None
    """.npz of under-display PSFs; without it that degradation is left out."""


class BlurSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blur of a stage."""

    probability: float
    size: tuple[int, int]
    """Smallest and largest side of a kernel, odd."""
    sigma: Range
    """Standard deviations of Gaussian kernels, in pixels."""
    sinc: float
    """Share of the kernels that are sinc filters."""


class StageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage: its steps and their probabilities."""

    steps: tuple[str, ...]
    """Names of the steps; their order is drawn."""
    blur: BlurSettings
    display: float = 0.0
    """Probability of an under-display PSF if there is no blur."""
    noise: float = 0.0
    jpeg: float = 0.0
    quality: Range = (100, 100)
    """Quality of the JPEG."""


class RingingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wiener deconvolution of a blurred picture."""

    probability: float
    below: int
    """Side of the smallest kernel that has none."""
    balance: float
    """Noise-to-signal ratio."""
    blended: float
    """Share of the deconvolved pictures that are blended with the blurred ones."""


class NoiseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Gaussian and Poisson noise."""

    gaussian: float
    """Probability of Gaussian noise."""
    sigma: Range
    """Its standard deviation in 8-bit levels."""
    poisson: float
    """Probability of Poisson noise."""
    strength: Range
    """Its scale."""
    grey: float
    """Probability of one noise for all channels."""


class WildSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of the file."""

    grey: float
    """Probability of a grey clean photo."""
    resize: float
    """Probability of resizing."""
    scale: Range
    """Divisor of the sides."""
    stages: tuple[StageSettings, ...]
    kernels: dict[str, float]
    """Kind of blur kernel -> its weight."""
    generalized_beta: Range
    """Shape of generalized Gaussian kernels."""
    plateau_beta: Range
    """Shape of plateau-shaped kernels."""
    kernel_noise: Range
    """Multiplicative noise on kernels."""
    ringing: RingingSettings
    noise: NoiseSettings


WILD = msgspec.yaml.decode(
    (resources.files(__package__) / "wild_degradation.yml").read_bytes(), type=WildSettings
)


@lru_cache
def load_psfs(path: str) -> tuple[np.ndarray, ...]:
    """Load the PSFs of a .npz file, each float32 (k, k, 3) of sum 1 in every channel.

    Raises:
        WxrError: no such file, or an array in it is not a PSF.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise WxrError(
            f"{path}: not a .npz file of PSFs ({error}); save arrays (k, k) or (k, k, 3) with "
            f"numpy.savez"
        ) from error
    return tuple(_psf(path, name, array) for name, array in arrays.items())


def _psf(path: str, name: str, array: np.ndarray) -> np.ndarray:
    kernel = np.dstack([array] * 3) if array.ndim == 2 else array
    if not _is_psf(kernel):
        raise WxrError(
            f"{path}: {name} {array.shape} is not a PSF; need (k, k) or (k, k, 3), not negative, "
            f"not all 0"
        )
    return (kernel / kernel.sum((0, 1))).astype(np.float32)


def _is_psf(kernel: np.ndarray) -> bool:
    if kernel.ndim != 3 or kernel.shape[2] != 3 or not np.isfinite(kernel).all():
        return False
    # A channel of zeros could not be scaled to sum 1.
    return kernel.min() >= 0 and bool(kernel.sum((0, 1)).all())
