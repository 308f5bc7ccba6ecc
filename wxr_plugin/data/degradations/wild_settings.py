"""The settings of the wild degradation pipeline, read from `wild_degradation.yml`."""

from functools import lru_cache
from importlib import resources

import msgspec
import numpy as np

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import Block, ExistingPath

Range = tuple[float, float]


class WildOptions(Block, frozen=True):
    """What a user adds to the wild pipeline: the authors' PSFs belong to their repository and are not shipped here."""

    psf: ExistingPath | None = None
    """.npz of camera PSFs, arrays (k, k) or (k, k, 3), RGB; without it no kernel is a camera's."""
    display_psf: ExistingPath | None = None
    """.npz of under-display PSFs; without it that degradation is left out."""


class BlurSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A blur: how often, kernel sides (odd, lowest and highest), sigmas, and how many kernels are sinc filters."""

    probability: float
    size: tuple[int, int]
    sigma: Range
    sinc: float


class StageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage: its steps, whose order is drawn, and their probabilities."""

    steps: tuple[str, ...]
    blur: BlurSettings
    display: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0
    quality: Range = (100, 100)


class RingingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wiener deconvolution: how often, below which kernel side, its noise-to-signal ratio, how many are blended."""

    probability: float
    below: int
    balance: float
    blended: float


class NoiseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Gaussian and Poisson noise: how often, how strong, and how much of it is grey."""

    gaussian: float
    sigma: Range
    poisson: float
    strength: Range
    grey: float


class WildSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    grey: float
    resize: float
    scale: Range
    stages: tuple[StageSettings, ...]
    kernels: dict[str, float]
    generalized_beta: Range
    plateau_beta: Range
    kernel_noise: Range
    ringing: RingingSettings
    noise: NoiseSettings


WILD = msgspec.yaml.decode(
    (resources.files(__package__) / "wild_degradation.yml").read_bytes(), type=WildSettings
)


@lru_cache
def load_psfs(path: str) -> tuple[np.ndarray, ...]:
    """The PSFs of a .npz file, each float32 (k, k, 3) of sum 1 a channel.

    Raises:
        WxrError: no such file, or an array in it is not a PSF.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise WxrError(
            f"{path}: no .npz file of PSFs ({error}); save arrays (k, k) or (k, k, 3) with "
            f"numpy.savez"
        ) from error
    return tuple(_psf(path, name, array) for name, array in found.items())


def _psf(path: str, name: str, array: np.ndarray) -> np.ndarray:
    kernel = np.dstack([array] * 3) if array.ndim == 2 else array
    shaped = kernel.ndim == 3 and kernel.shape[2] == 3
    if (
        not shaped
        or not np.isfinite(kernel).all()
        or kernel.min() < 0
        or not kernel.sum((0, 1)).all()
    ):
        raise WxrError(
            f"{path}: {name} {array.shape} is no PSF; need (k, k) or (k, k, 3), not negative, not "
            f"all 0"
        )
    return (kernel / kernel.sum((0, 1))).astype(np.float32)
