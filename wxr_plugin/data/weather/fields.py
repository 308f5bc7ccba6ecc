"""Maps of which the synthetic weather is made: smooth noise, a guessed depth, particle layers."""

import math
from statistics import NormalDist

import cv2
import numpy as np

from wxr_plugin.data.weather.styles import Layer

NORMAL_AREA = 400.0 * 400.0
"""Area in pixels up to which the sizes in the styles hold."""
NOISE_RANGE = np.float32(2.5)
"""Standard deviations of noise from the threshold to full opacity."""
SMALL = 48
"""Side in pixels of the map on which the depth is guessed."""


def smooth_noise(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return a slowly varying map, (H, W) float32 in [0, 1].

    It interpolates random values on a grid of `cells` x `cells`.
    """
    grid = rng.random((cells, cells), dtype=np.float32)
    height, width = shape
    noise = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    # Cubic interpolation overshoots the values of the grid.
    return np.clip(noise, 0.0, 1.0)


def guess_depth(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Guess the depth of an RGB image (H, W, 3): (H, W) float32 in [0, 1], 1 farthest (our choice).

    The mean of three cues with random weights: the picture's upper part is farther; pale, bright
    surfaces (sky) are farther; slow noise represents the objects. Photos without a horizon are
    treated alike.
    """
    height, width = image.shape[:2]
    small = cv2.resize(image, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    darkest_channel = small.min(axis=2)
    pale = cv2.GaussianBlur(darkest_channel, (0, 0), 2.5)
    horizon = rng.uniform(0.0, 0.7)
    softness = rng.uniform(0.1, 0.4)
    rows = np.linspace(0, 1, SMALL, dtype=np.float32)
    # A logistic curve over the rows: 1 far above the horizon, 0 far below it.
    exponential = np.exp((rows - horizon) / softness)
    ramp = 1.0 / (1.0 + exponential)
    upper = np.tile(ramp[:, None], (1, SMALL))
    objects = smooth_noise((SMALL, SMALL), 4, rng)
    weights = rng.dirichlet((2.0, 0.7, 1.0))
    cues = [_spread(cue) for cue in (upper, pale, objects)]
    weighted = [weight * cue for weight, cue in zip(weights, cues)]
    mean_cue = sum(weighted).astype(np.float32)
    depth = _spread(mean_cue)
    return cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)


def ground_ramp(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the density of spray over the ground, (H, 1) float32: 0 at the top, 1 below."""
    start = rng.uniform(0.3, 0.8)
    height = shape[0]
    rows = np.linspace(0, 1, height, dtype=np.float32)
    ramp = (rows - start) / (1.0 - start)
    return np.clip(ramp, 0.0, 1.0)[:, None]


def particle_layer(
    shape: tuple[int, int],
    layer: Layer,
    angle: float,
    severity: float,
    rng: np.random.Generator,
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
    opacity_at_most = rng.uniform(*layer.opacity)
    opacity = opacity_at_most * (0.4 + 0.6 * severity)
    # A layer without defocus draws no number for it.
    blur = 0.0
    if layer.blur[1]:
        blur = rng.uniform(*layer.blur)
    form = (length, angle, blur, cover, opacity)
    draw = {"streak": _streaks, "flake": _flakes, "noise": _noise_streaks}[layer.shape]
    return draw(shape, thickness, form, severity, rng)


def _streaks(
    shape: tuple[int, int],
    thickness: float,
    form: tuple[float, ...],
    severity: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the opacity of a layer of streaks: (H, W) float32 in [0, 1].

    `form` is (length, angle, blur, cover, opacity).
    """
    length, angle, blur, cover, opacity = form
    height, width = shape
    grid, turn = _turned_grid(shape, angle, thickness, rng)
    # One pixel of the grid is as large as a particle is thick, so a streak covers `length` pixels.
    share = cover / length
    points = _scatter(grid, share, severity, rng)
    streaks = _smear(points, length) * np.float32(opacity)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    layer_map = cv2.warpAffine(streaks, turn, (width, height), flags=flags)
    if blur:
        sigma = blur * size_unit(shape)
        layer_map = cv2.GaussianBlur(layer_map, (0, 0), sigma)
    # Where streaks overlap, their sum may exceed the opacity of one.
    return np.minimum(layer_map, np.float32(opacity))


def _noise_streaks(
    shape: tuple[int, int],
    thickness: float,
    form: tuple[float, ...],
    severity: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the opacity of motion-blurred noise above a threshold: (H, W) float32 in [0, 1].

    It is how rain is drawn in image editors (noise, motion blur, levels). `form` is (length, angle,
    blur, cover, opacity); of severity 1 a share `cover` of the noise, at most 0.98, is above the
    threshold. A lower severity raises the threshold a little.
    """
    length, angle, _, cover, opacity = form
    height, width = shape
    grid, turn = _turned_grid(shape, angle, thickness, rng)
    noise = rng.standard_normal(grid, dtype=np.float32)
    streaks = cv2.blur(noise, (1, length)) * np.float32(math.sqrt(length))
    # Severity acts on the opacity; even faint rain of this kind covers most of the picture.
    share = min(cover * severity**0.2, 0.98)
    threshold = NormalDist().inv_cdf(1 - share) if share > 0 else np.inf
    mask = np.clip((streaks - np.float32(threshold)) / NOISE_RANGE, 0.0, 1.0)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    layer_map = cv2.warpAffine(mask, turn, (width, height), flags=flags)
    return layer_map * np.float32(opacity)


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
    height, width = shape
    # Large discs are drawn on a coarser grid, 5 of its pixels wide, which bounds the kernel.
    step = max(1.0, thickness / 5.0)
    rows = math.ceil(height / step) + 1
    columns = math.ceil(width / step) + 1
    kernel = flake_kernel(thickness / step, length, angle, blur)
    area_of_flake = float(kernel.sum())
    share = cover / area_of_flake
    points = _scatter((rows, columns), share, severity, rng)
    layer_map = cv2.filter2D(points, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    layer_map = layer_map * np.float32(opacity)
    if step > 1:
        layer_map = cv2.resize(layer_map, (width, height), interpolation=cv2.INTER_LINEAR)
    # The grid is one point larger than the picture.
    layer_map = layer_map[:height, :width]
    return np.minimum(layer_map, np.float32(opacity))


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
    half_path = (length - 1) * thickness / 2
    half = math.ceil(radius + half_path + 2 * sigma)
    side = slice(-half, half + 1)
    rows, columns = np.mgrid[side, side].astype(np.float32)
    direction = math.radians(angle)
    sin = math.sin(direction)
    cos = math.cos(direction)
    # Distance to the path, a segment through the centre, along its direction and across it.
    from_centre = np.abs(columns * sin + rows * cos)
    along = np.maximum(from_centre - half_path, 0.0)
    across = columns * cos - rows * sin
    distance = np.sqrt(along**2 + across**2)
    disc = np.clip(radius + 0.5 - distance, 0.0, 1.0).astype(np.float32)
    return cv2.GaussianBlur(disc, (0, 0), sigma)


def size_unit(shape: tuple[int, int]) -> float:
    """Return the factor on sizes of particles for a picture of this shape; at least 1."""
    height, width = shape
    area = height * width
    return max(1.0, math.sqrt(area / NORMAL_AREA))


def _spread(values: np.ndarray) -> np.ndarray:
    """Scale `values` linearly to [0, 1]; a constant map becomes 0."""
    low = values.min()
    high = values.max()
    if high > low:
        return (values - low) / (high - low)
    return np.zeros_like(values)


def _turned_grid(
    shape: tuple[int, int],
    angle: float,
    thickness: float,
    rng: np.random.Generator,
) -> tuple[tuple[int, int], np.ndarray]:
    """Return the size (rows, columns) of a grid that covers the picture when turned.

    With it comes the affine map (2, 3) from pixels (x, y) to points of the grid.
    """
    direction = math.radians(angle)
    cos = math.cos(direction) / thickness
    sin = math.sin(direction) / thickness
    height, width = shape
    # Sides of the upright box around the turned picture, in points of the grid.
    rows = math.ceil(abs(height * cos) + abs(width * sin)) + 3
    columns = math.ceil(abs(width * cos) + abs(height * sin)) + 3
    shift_x, shift_y = rng.random(2)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    # The picture's centre comes to the grid's, with a random shift below one point of it.
    middle_of_grid = (columns / 2 - 1 + shift_x, rows / 2 - 1 + shift_y)
    middle_of_picture = (width / 2, height / 2)
    turned_middle = turn[:, :2] @ middle_of_picture
    turn[:, 2] = middle_of_grid - turned_middle
    return (rows, columns), turn


def _scatter(
    grid: tuple[int, int],
    share: float,
    severity: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a map (rows, columns) with random points of random weight, 0 elsewhere."""
    rows, columns = grid
    size = rows * columns
    count = 1 + int(share * size)
    places = rng.integers(0, size, count)
    sizes = rng.random(count, dtype=np.float32)
    # Squared, so that faint points are more frequent.
    weights = 0.3 + 1.7 * sizes**2
    shown = round(severity**0.8 * count)
    shown_places = places[:shown]
    shown_weights = weights[:shown]
    points = np.zeros(size, np.float32)
    # Backwards, so that of two points at one place the first one stays at any severity.
    points[shown_places[::-1]] = shown_weights[::-1]
    return points.reshape(grid)


def _smear(points: np.ndarray, length: int) -> np.ndarray:
    """Blur along the columns: each point becomes a streak of `length` with tapered ends."""
    if length == 1:
        return points
    # Two box blurs make a trapezium; the factor gives it the height of the point.
    first = (length + 1) // 2
    second = length // 2 + 1
    boxes = cv2.blur(points, (1, first))
    trapezia = cv2.blur(boxes, (1, second))
    return trapezia * np.float32(max(first, second))
