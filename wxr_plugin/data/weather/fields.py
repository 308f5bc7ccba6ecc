"""The maps that the synthetic weather is made of: smooth noise, a plausible depth, and layers of particles."""

import math

import cv2
import numpy as np

from wxr_plugin.data.weather.styles import Layer

NORMAL_AREA = 400.0 * 400.0


def smooth_noise(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> np.ndarray:
    """A (H, W) float32 map in [0, 1] that varies slowly: random values on a `cells` x `cells` grid, interpolated."""
    grid = rng.random((cells, cells), dtype=np.float32)
    return np.clip(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC), 0.0, 1.0)


def guess_depth(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A plausible depth map of a (H, W, 3) RGB image: (H, W) float32 in [0, 1], 1 the farthest (our choice).

    The mean of three cues with random weights: the picture's upper part is farther; pale, bright
    surfaces (sky) are farther; slow noise stands for the objects. A photo without a horizon is as
    likely to get any of them.
    """
    height, width = image.shape[:2]
    small = cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA)
    pale = cv2.GaussianBlur(small.min(axis=2), (0, 0), 2.5)
    horizon, softness = rng.uniform(0.0, 0.7), rng.uniform(0.1, 0.4)
    ramp = 1.0 / (1.0 + np.exp((np.linspace(0, 1, 48, dtype=np.float32) - horizon) / softness))
    maps = (np.tile(ramp[:, None], (1, 48)), pale, smooth_noise((48, 48), 4, rng))
    weights = rng.dirichlet((2.0, 0.7, 1.0))
    depth = sum(weight * _spread(one) for weight, one in zip(weights, maps)).astype(np.float32)
    return cv2.resize(_spread(depth), (width, height), interpolation=cv2.INTER_LINEAR)


def ground_ramp(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Where spray hangs over the ground: (H, 1) float32, 0 at the top and 1 at the bottom edge."""
    start = rng.uniform(0.3, 0.8)
    return np.clip(
        (np.linspace(0, 1, shape[0], dtype=np.float32) - start) / (1.0 - start), 0.0, 1.0
    )[:, None]


def particle_layer(
    shape: tuple[int, int], layer: Layer, angle: float, severity: float, rng: np.random.Generator
) -> np.ndarray:
    """Opacity of one layer of drops or flakes: (H, W) float32 in [0, 1].

    Random points are blurred along the direction of fall (motion blur, as in Garg and Nayar,
    "Vision and Rain", IJCV 2007, whose streaks are drops that move during the exposure) on a grid
    as coarse as a particle is thick, which is then turned by `angle` degrees and enlarged.
    `severity` in [0, 1] keeps severity^0.8 of one and the same points, so that a picture only gains
    particles as it rises.
    """
    thickness = rng.uniform(*layer.width) * size_unit(shape)
    length = max(1, round(rng.uniform(*layer.length)))
    cover, opacity = rng.uniform(*layer.cover), rng.uniform(*layer.opacity) * (0.4 + 0.6 * severity)
    blur = rng.uniform(*layer.blur) if layer.blur[1] else 0.0
    if layer.shape == "flake":
        return _flakes(shape, thickness, (length, angle, blur, cover, opacity), severity, rng)
    grid, turn = _turned_grid(shape, angle, thickness, rng)
    points = _scatter(grid, cover / length, severity, rng)
    points = _smear(points, length) * np.float32(opacity)
    layer_map = cv2.warpAffine(
        points, turn, shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    if blur:
        layer_map = cv2.GaussianBlur(layer_map, (0, 0), blur * size_unit(shape))
    return np.minimum(layer_map, np.float32(opacity))


def _flakes(
    shape: tuple[int, int],
    thickness: float,
    form: tuple[float, ...],
    severity: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Opacity of a layer of discs out of focus that move during the exposure: (H, W) float32 in [0, 1].

    Large discs are drawn on a coarser grid. `form` is (length, angle, blur, cover, opacity).
    """
    length, angle, blur, cover, opacity = form
    step = max(1.0, thickness / 5.0)
    size = tuple(math.ceil(side / step) + 1 for side in shape)
    kernel = flake_kernel(thickness / step, length, angle, blur)
    points = _scatter(size, cover / float(kernel.sum()), severity, rng)
    layer_map = cv2.filter2D(points, -1, kernel, borderType=cv2.BORDER_CONSTANT) * np.float32(
        opacity
    )
    if step > 1:
        layer_map = cv2.resize(layer_map, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.minimum(layer_map[: shape[0], : shape[1]], np.float32(opacity))


def flake_kernel(thickness: float, length: float, angle: float, blur: float) -> np.ndarray:
    """Return the opacity of one flake, at most 1: a disc, smeared over (`length` - 1) diameters and defocused.

    `thickness` is the diameter in pixels, `blur` the deviation of the defocus in radii, `angle` the
    direction of the motion in degrees from straight down. The side is odd.
    """
    radius = thickness / 2
    sigma = max(0.35, blur * radius)
    path = (length - 1) * thickness / 2
    half = math.ceil(radius + path + 2 * sigma)
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    sin, cos = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    along = np.maximum(np.abs(columns * sin + rows * cos) - path, 0.0)
    across = columns * cos - rows * sin
    disc = np.clip(radius + 0.5 - np.sqrt(along**2 + across**2), 0.0, 1.0).astype(np.float32)
    return cv2.GaussianBlur(disc, (0, 0), sigma)


def size_unit(shape: tuple[int, int]) -> float:
    """How much larger than in a normal picture the particles are drawn; never below 1."""
    return max(1.0, math.sqrt(shape[0] * shape[1] / NORMAL_AREA))


def _spread(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _turned_grid(
    shape: tuple[int, int], angle: float, thickness: float, rng: np.random.Generator
) -> tuple[tuple[int, int], np.ndarray]:
    """Size (rows, columns) of a grid that covers the picture when turned, and the map from pixels to grid points."""
    cos, sin = math.cos(math.radians(angle)) / thickness, math.sin(math.radians(angle)) / thickness
    height, width = shape
    rows = math.ceil(abs(height * cos) + abs(width * sin)) + 3
    columns = math.ceil(abs(width * cos) + abs(height * sin)) + 3
    shift_x, shift_y = rng.random(2)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    turn[:, 2] = (columns / 2 - 1 + shift_x, rows / 2 - 1 + shift_y) - turn[:, :2] @ (
        width / 2,
        height / 2,
    )
    return (rows, columns), turn


def _scatter(
    grid: tuple[int, int], share: float, severity: float, rng: np.random.Generator
) -> np.ndarray:
    count = 1 + int(share * grid[0] * grid[1])
    places = rng.integers(0, grid[0] * grid[1], count)
    weights = 0.3 + 1.7 * rng.random(count, dtype=np.float32) ** 2
    kept = round(severity**0.8 * count)
    points = np.zeros(grid, np.float32)
    points.reshape(-1)[places[:kept][::-1]] = weights[:kept][
        ::-1
    ]  # of two points at one place the first one stays
    return points


def _smear(points: np.ndarray, length: int) -> np.ndarray:
    """Blur along the columns so that each point becomes a streak of about `length` that tapers at both ends."""
    if length == 1:
        return points
    first, second = (length + 1) // 2, length // 2 + 1
    kernel = (1, max(first, second))
    return cv2.blur(cv2.blur(points, (1, first)), (1, second)) * np.float32(kernel[1])
