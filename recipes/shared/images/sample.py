"""Generated images of ten shapes: what is drawn decides the class, in any colour, place, size and turn.

A pixel alone tells nothing: shapes have random colours on a random ground, either may be the brighter, and
all shapes of a size cover about the same area. So a linear map of the pixels stays near chance (12 %), where
a small convolutional network learns nearly all (97 %).
"""

import numpy as np

CLASSES = (
    *("disc", "ring", "square", "frame", "triangle"),
    *("cross", "star", "bars", "checkers", "crescent"),
)
SIDES = {"mnist": 28, "imagenette": 64, "imagenet": 64}  # else CIFAR's 32; a full ImageNet would only be slow
GREY = ("mnist",)
BATCH = 250  # images drawn at once: their intermediate planes stay in the cache of a processor


def make_image_sample(
    recipe: str, seed: int = 0, size: int | None = None, train: int = 2000, test: int = 500
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{"train", "test"}: pixels, uint8 (N, side, side[, 3]), and labels, int64 (N,); the same for a seed.

    The classes are balanced and shuffled. The default sizes let a small network learn the shapes within
    a minute, and give the test accuracy to 2 %. Images have the side of the recipe's, or `size`.

    Raises:
        ValueError: a size below 16, where shapes are no longer told apart.
    """
    side = size or SIDES.get(recipe, 32)
    if side < 16:
        raise ValueError(f"data.size={side}: expected 16 or more for the sample, to tell its shapes apart")
    rng = np.random.default_rng(seed)
    made = {}
    for split, count in (("train", train), ("test", test)):
        labels = rng.permutation(np.arange(count) % len(CLASSES))
        batches = [_draw(rng, labels[i : i + BATCH], side, recipe in GREY) for i in range(0, count, BATCH)]
        made[split] = (np.concatenate(batches), labels)
    return made


def _draw(rng: np.random.Generator, labels: np.ndarray, side: int, grey: bool) -> np.ndarray:
    """Images of shapes with these labels, uint8 (N, side, side[, 3])."""
    count = len(labels)
    radius = rng.uniform(0.24, 0.37, (count, 1, 1)) * side
    centre = side / 2 + rng.uniform(-1, 1, (2, count, 1, 1)) * (side / 2 - 1.1 * radius)
    turn = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    y, x = np.mgrid[:side, :side] + 0.5
    x, y = (x - centre[0]) / radius, (y - centre[1]) / radius
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    distance = np.empty((count, side, side))
    for label in np.unique(labels):
        rows = labels == label
        distance[rows] = _distance(CLASSES[label], x[rows], y[rows])
    # A pixel on the edge is of both colours, as in a photograph.
    cover = np.clip(0.5 - distance * radius, 0, 1)[..., None]
    channels = 1 if grey else 3
    ground = rng.uniform(30, 225, (count, 1, 1, channels))
    # The other colour differs, up or down as chance has it, so that brightness tells nothing.
    contrast = rng.uniform(60, 120, ground.shape) * rng.choice([-1, 1], (count, 1, 1, channels))
    ink = np.where((ground + contrast < 0) | (ground + contrast > 255), ground - contrast, ground + contrast)
    pixels = ground + (ink - ground) * cover + rng.normal(0, 12, (count, side, side, channels))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return pixels[..., 0] if grey else pixels


def _distance(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """About the distance from a shape's edge at (x, y), in radii of the shape, negative inside it."""
    reach, box = np.hypot(x, y), np.maximum(abs(x), abs(y))
    match shape:
        case "disc":
            return reach - 0.75
        case "ring":
            return abs(reach - 0.75) - 0.2
        case "square":
            return box - 0.68
        case "frame":
            return abs(box - 0.62) - 0.16
        case "triangle":
            return np.maximum(-y, np.maximum(np.sqrt(3) * x + y, -np.sqrt(3) * x + y) / 2) - 0.54
        case "cross":
            return np.maximum(box - 0.95, np.minimum(abs(x), abs(y)) - 0.24)
        case "star":
            return reach - 0.68 - 0.28 * np.cos(5 * np.arctan2(y, x))
        case "bars":
            return np.maximum(box - 0.84, abs((x + 0.33) % 0.66 - 0.33) - 0.18)
        case "checkers":
            return np.maximum(box - 0.88, np.where((x > 0) == (y > 0), -1, 1) * np.minimum(abs(x), abs(y)))
        case _:  # crescent
            return np.maximum(reach - 0.9, 0.68 - np.hypot(x - 0.4, y))
