import numpy as np
import pytest
from skimage.data import astronaut

from wxr_plugin.data.weather.depth import ground_plane, guess_edges


def rng(seed=0):
    return np.random.default_rng(seed)


def two_halves():
    """Return a dark and a bright half that meet at column 60, with a little texture."""
    image = np.full((120, 120, 3), 0.2, np.float32)
    image[:, 60:] = 0.75
    return np.clip(image + rng().normal(0, 0.01, image.shape).astype(np.float32), 0, 1)


@pytest.mark.parametrize("shape", [(1, 1), (5, 90), (120, 80)])
def test_the_depth_has_the_size_of_the_image_and_lies_in_0_1(shape):
    depth = guess_edges(rng(1).random((*shape, 3), dtype=np.float32), rng())
    assert depth.shape == shape and depth.dtype == np.float32
    assert depth.min() >= 0 and depth.max() <= 1


def test_the_depth_jumps_at_edges_and_is_smooth_elsewhere():
    image = two_halves()
    steps = np.mean(
        [np.abs(np.diff(guess_edges(image, rng(seed)), axis=1)).mean(axis=0) for seed in range(10)],
        axis=0,
    )
    assert steps[57:62].max() > 8 * np.median(steps)


def test_texture_does_not_show_in_the_depth():
    photo = astronaut()[100:300, 100:300].astype(np.float32) / 255
    rough = lambda image: float(np.abs(np.diff(image, axis=0)).mean())  # noqa: E731
    assert np.mean([rough(guess_edges(photo, rng(seed))) for seed in range(6)]) < 0.45 * rough(
        photo.mean(axis=2)
    )


def test_a_plane_grows_farther_upwards_and_ends_at_the_horizon():
    planes = [ground_plane(rng(seed)) for seed in range(20)]
    for plane in planes:
        assert np.all(np.diff(plane, axis=0) <= 1e-6)
        assert plane.max() <= 1
    assert any(plane[0].min() == 1 for plane in planes)


def test_the_seed_decides():
    photo = astronaut()[:90, :120].astype(np.float32) / 255
    assert np.array_equal(guess_edges(photo, rng(3)), guess_edges(photo, rng(3)))
    assert not np.allclose(guess_edges(photo, rng(3)), guess_edges(photo, rng(4)), atol=0.05)
