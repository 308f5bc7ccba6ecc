"""Maps of which the synthetic weather is made: smooth noise, a guessed depth, particle layers."""

import math

import cv2
import numpy as np

from wxr_plugin.data.weather.styles import Layer

NORMAL_AREA = 400.0 * 400.0
"""Area in pixels up to which the sizes in the styles hold."""
SMALL = 48
"""Side in pixels of the map on which the depth is guessed."""


def smooth_noise(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return a slowly varying map, (H, W) float32 in [0, 1].

    It interpolates random values on a grid of `cells` x `cells`.
    """
    grid = rng.random((cells, cells), dtype=np.float32)
    return np.clip(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC), 0.0, 1.0)


def guess_depth(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Guess the depth of an RGB image (H, W, 3): (H, W) float32 in [0, 1], 1 farthest (our choice).

    The mean of three cues with random weights: the picture's upper part is farther; pale, bright
    surfaces (sky) are farther; slow noise represents the objects. Photos without a horizon are
    treated alike.
    """
    height, width = image.shape[:2]
    small = cv2.resize(image, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    pale = cv2.GaussianBlur(small.min(axis=2), (0, 0), 2.5)
    horizon = rng.uniform(0.0, 0.7)
    softness = rng.uniform(0.1, 0.4)
    rows = np.linspace(0, 1, SMALL, dtype=np.float32)
    ramp = 1.0 / (1.0 + np.exp((rows - horizon) / softness))
    upper = np.tile(ramp[:, None], (1, SMALL))
    cues = (upper, pale, smooth_noise((SMALL, SMALL), 4, rng))
    weights = rng.dirichlet((2.0, 0.7, 1.0))
    depth = sum(weight * _spread(cue) for weight, cue in zip(weights, cues))
    depth = _spread(depth.astype(np.float32))
    return cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)


def ground_ramp(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the density of spray over the ground, (H, 1) float32: 0 at the top, 1 below."""
    start = rng.uniform(0.3, 0.8)
    rows = np.linspace(0, 1, shape[0], dtype=np.float32)
    return np.clip((rows - start) / (1.0 - start), 0.0, 1.0)[:, None]


def particle_layer(
    shape: tuple[int, int], layer: Layer, angle: float, severity: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the opacity of one layer of drops or flakes: (H, W) float32 in [0, 1].

    Random points are blurred along the direction of fall (motion blur, as in Garg and Nayar,
    "Vision and Rain", IJCV 2007, whose streaks are drops that move during the exposure) on a grid
    as coarse as a particle is thick, which is then turned by `angle` degrees and enlarged.
    `severity` in [0, 1] keeps severity^0.8 of the same points, so that a picture only gains
    particles as it rises.
    """
    thickness = rng.uniform(*layer.width) * size_unit(shape)
    length = max(1, round(rng.uniform(*layer.length)))
    cover = rng.uniform(*layer.cover)
    opacity = rng.uniform(*layer.opacity) * (0.4 + 0.6 * severity)
    # A layer without defocus draws no number for it.
    blur = rng.uniform(*layer.blur) if layer.blur[1] else 0.0
    if layer.shape == "flake":
        return _flakes(shape, thickness, (length, angle, blur, cover, opacity), severity, rng)
    grid, turn = _turned_grid(shape, angle, thickness, rng)
    # One pixel of the grid is as large as a particle is thick, so a streak covers `length` pixels.
    points = _scatter(grid, cover / length, severity, rng)
    streaks = _smear(points, length) * np.float32(opacity)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    layer_map = cv2.warpAffine(streaks, turn, shape[::-1], flags=flags)
    if blur:
        layer_map = cv2.GaussianBlur(layer_map, (0, 0), blur * size_unit(shape))
    # Where streaks overlap, their sum may exceed the opacity of one.
    return np.minimum(layer_map, np.float32(opacity))


def _flakes(
    shape: tuple[int, int],
    thickness: float,
    form: tuple[float, ...],
    severity: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the opacity of a layer of defocused discs that move: (H, W) float32 in [0, 1].

    `form` is (length, angle, blur, cover, opacity).
    """
    length, angle, blur, cover, opacity = form
    # Large discs are drawn on a coarser grid, 5 of its pixels wide, which bounds the kernel.
    step = max(1.0, thickness / 5.0)
    grid = tuple(math.ceil(side / step) + 1 for side in shape)
    kernel = flake_kernel(thickness / step, length, angle, blur)
    points = _scatter(grid, cover / float(kernel.sum()), severity, rng)
    layer_map = cv2.filter2D(points, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    layer_map = layer_map * np.float32(opacity)
    if step > 1:
        layer_map = cv2.resize(layer_map, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.minimum(layer_map[: shape[0], : shape[1]], np.float32(opacity))


def flake_kernel(thickness: float, length: float, angle: float, blur: float) -> np.ndarray:
    """Return the opacity of one flake, at most 1: a disc that is smeared and defocused.

    Args:
        thickness: diameter of the disc in pixels.
        length: the disc is smeared over `length` - 1 diameters.
        angle: direction of the motion in degrees from straight down.
        blur: standard deviation of the defocus in radii.

    Returns:
        A square kernel of odd side.
    """
    radius = thickness / 2
    sigma = max(0.35, blur * radius)
    path = (length - 1) * thickness / 2  # half the way
    half = math.ceil(radius + path + 2 * sigma)
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    sin = math.sin(math.radians(angle))
    cos = math.cos(math.radians(angle))
    # Distance to the path, a segment through the centre, along its direction and across it.
    along = np.maximum(np.abs(columns * sin + rows * cos) - path, 0.0)
    across = columns * cos - rows * sin
    distance = np.sqrt(along**2 + across**2)
    disc = np.clip(radius + 0.5 - distance, 0.0, 1.0).astype(np.float32)
    return cv2.GaussianBlur(disc, (0, 0), sigma)


def size_unit(shape: tuple[int, int]) -> float:
    """Return the factor on sizes of particles for a picture of this shape; at least 1."""
    return max(1.0, math.sqrt(shape[0] * shape[1] / NORMAL_AREA))


def _spread(values: np.ndarray) -> np.ndarray:
    """Scale `values` linearly to [0, 1]; a constant map becomes 0."""
    low = values.min()
    high = values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _turned_grid(
    shape: tuple[int, int], angle: float, thickness: float, rng: np.random.Generator
) -> tuple[tuple[int, int], np.ndarray]:
    """Return the size (rows, columns) of a grid that covers the picture when turned.

    With it comes the affine map (2, 3) from pixels (x, y) to points of the grid.
    """
    cos = math.cos(math.radians(angle)) / thickness
    sin = math.sin(math.radians(angle)) / thickness
    height, width = shape
    rows = math.ceil(abs(height * cos) + abs(width * sin)) + 3
    columns = math.ceil(abs(width * cos) + abs(height * sin)) + 3
    shift_x, shift_y = rng.random(2)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    # The picture's centre comes to the grid's, with a random shift below one point of it.
    middle = (columns / 2 - 1 + shift_x, rows / 2 - 1 + shift_y)
    turn[:, 2] = middle - turn[:, :2] @ (width / 2, height / 2)
    return (rows, columns), turn


def _scatter(
    grid: tuple[int, int], share: float, severity: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a map (rows, columns) with random points of random weight, 0 elsewhere."""
    size = grid[0] * grid[1]
    count = 1 + int(share * size)
    places = rng.integers(0, size, count)
    weights = 0.3 + 1.7 * rng.random(count, dtype=np.float32) ** 2
    shown = round(severity**0.8 * count)
    points = np.zeros(grid, np.float32)
    # Backwards, so that of two points at one place the first one stays at any severity.
    points.reshape(-1)[places[:shown][::-1]] = weights[:shown][::-1]
    return points


def _smear(points: np.ndarray, length: int) -> np.ndarray:
    """Blur along the columns: each point becomes a streak of `length` with tapered ends."""
    if length == 1:
        return points
    # Two box blurs make a trapezium; the factor gives it the height of the point.
    first = (length + 1) // 2
    second = length // 2 + 1
    smeared = cv2.blur(cv2.blur(points, (1, first)), (1, second))
    return smeared * np.float32(max(first, second))
