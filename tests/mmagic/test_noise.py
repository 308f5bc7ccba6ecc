"""mmagic's own transform returns float32, which a network takes."""

import numpy as np
import pytest

from wxr_plugin.mm import mmagic_bridge  # noqa: F401


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_random_noise_gives_float32(kind):
    from mmagic.datasets.transforms import RandomNoise

    params = {
        "noise_type": [kind],
        "noise_prob": [1],
        "gaussian_sigma": [1, 20],
        "gaussian_gray_noise_prob": 0,
        "poisson_scale": [0.1, 1],
        "poisson_gray_noise_prob": 0,
    }
    photos = [np.full((8, 8, 3), 100, dtype) for dtype in (np.float32, np.uint8, np.float32)]
    noisy = RandomNoise(params, ["lq"])({"lq": photos})["lq"]
    assert [photo.dtype for photo in noisy] == [np.float32] * 3
