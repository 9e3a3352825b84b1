"""An event camera: what changes in brightness becomes events, one pixel at a time.

A pixel sends an event when its log brightness has changed by more than a threshold since its last event
(Lichtsteiner, Posch, Delbruck 2008). Thresholds differ between pixels; after an event a pixel rests; some
events are noise, and a few pixels are hot.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# As tonic has them, t in µs.
EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("p", bool), ("t", np.int64)])


@dataclass(frozen=True)
class Camera:
    """The pixels of a sensor.

    rising, falling: contrast thresholds (H, W), changes of log brightness. On average they are the same, or
        the leading edge of a limb would look other than the trailing one, and one moment tell the direction.
    rest_ms: refractory time. While it lasts a pixel forgets what it sees.
    noise: rate of noise events of each pixel (H, W), per second.
    """

    rising: np.ndarray
    falling: np.ndarray
    rest_ms: float
    noise: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, side: int = 128) -> "Camera":
        """About a DVS128: thresholds 0.25 with a mismatch of 8 %, half a ms of rest, five hot pixels.

        An edge that passes leaves events where brightness has changed by a threshold already, which is late,
        so that events lag behind a limb. With these figures and `gesture_scene.EDGE` that is a third of a
        pixel: a frame hardly tells which way an arm moves, as it should not.
        """
        rising, falling = rng.normal(0.25, 0.02, (2, side, side)).clip(0.15, 0.35)
        noise = np.full(side * side, 0.08)
        noise[rng.choice(side * side, 5, replace=False)] = rng.uniform(60, 200, 5)
        return cls(rising, falling, 0.5, noise.reshape(side, side))


def record(
    frames: Iterable[np.ndarray], step_ms: float, camera: Camera, rng: np.random.Generator
) -> np.ndarray:
    """Events of a scene, an array of EVENT in order of time.

    Args:
        frames: log brightness (H, W) every `step_ms`, the first at 0; between them it is taken as linear.
        rng: of the noise, and of where between two events each pixel is when the recording begins.
    """
    frames = iter(frames)
    first = next(frames).ravel().astype(np.float64)
    pixels = Pixels(first, camera)
    # What a pixel saw last lies before the recording: it is somewhere between its thresholds.
    pixels.seen = first + rng.uniform(-0.9, 0.9, first.shape) * np.minimum(pixels.rising, pixels.falling)
    found = [pixels.step(frame.ravel(), step_ms) for frame in frames]
    where, up, when = (np.concatenate([part[i] for part in found]) for i in range(3))
    noisy, at = background(camera, pixels.now, rng)
    where, up = np.concatenate([where, noisy]), np.concatenate([up, rng.integers(0, 2, len(noisy)) > 0])
    when, is_noise = np.concatenate([when, at]), np.arange(len(where)) >= len(where) - len(noisy)
    keep = ~(is_noise & _too_soon(where, when, camera.rest_ms))
    where, up, when = where[keep], up[keep], when[keep]
    order = np.argsort(when, kind="stable")
    events = np.empty(len(order), EVENT)
    events["y"], events["x"] = np.divmod(where[order], camera.rising.shape[1])
    events["p"], events["t"] = up[order], 1000 * when[order]
    return events


class Pixels:
    """All pixels of a camera, and what each of them remembers, as flat arrays.

    seen: log brightness at the last event, from which changes are counted.
    free: when the pixel's rest ends, ms.
    """

    def __init__(self, level: np.ndarray, camera: Camera) -> None:
        self.rising, self.falling = camera.rising.ravel(), camera.falling.ravel()
        self.rest = camera.rest_ms
        self.level, self.seen = level.astype(np.float64), level.astype(np.float64)
        self.free = np.zeros(level.shape)
        self.now = 0.0

    def step(self, level: np.ndarray, step_ms: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Events while brightness goes to `level` in a straight line: pixels, whether it rose, times in ms.

        Their times are exact, however many events a pixel sends in one step.
        """
        before, start, self.now = self.level, self.now, self.now + step_ms
        slope = (level - before) / step_ms
        woken = np.flatnonzero((self.free > start) & (self.free <= self.now))
        self.seen[woken] = before[woken] + slope[woken] * (self.free[woken] - start)
        change = level - self.seen
        ready = np.flatnonzero(
            ((change >= self.rising) | (change <= -self.falling)) & (self.free <= self.now)
        )
        found = []
        while len(ready):
            up = slope[ready] > 0
            crossed = self.seen[ready] + np.where(up, self.rising[ready], -self.falling[ready])
            when = start + (crossed - before[ready]) / slope[ready]
            found.append((ready, up, when))
            free = self.free[ready] = when + self.rest
            # Where the rest ends in a later step, that step says what is seen then.
            self.seen[ready] = before[ready] + slope[ready] * (free - start)
            change = level[ready] - self.seen[ready]
            again = (change >= self.rising[ready]) | (change <= -self.falling[ready])
            ready = ready[again & (free <= self.now)]
        self.level = level.astype(np.float64)
        if not found:
            return np.empty(0, np.int64), np.empty(0, bool), np.empty(0)
        pixels, ups, times = zip(*found, strict=True)
        return np.concatenate(pixels), np.concatenate(ups), np.concatenate(times)


def background(camera: Camera, until_ms: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noise events, each pixel at its own rate: pixels and times in ms, in no order."""
    pixels = np.repeat(np.arange(camera.noise.size), rng.poisson(camera.noise.ravel() * until_ms / 1000))
    return pixels, rng.uniform(0, until_ms, len(pixels))


def _too_soon(where: np.ndarray, when: np.ndarray, rest: float) -> np.ndarray:
    """Which events are nearer than `rest` to another of their pixel."""
    order = np.lexsort((when, where))
    close = (np.diff(where[order]) == 0) & (np.diff(when[order]) < rest)
    soon = np.zeros(len(where), bool)
    soon[order[1:][close]] = soon[order[:-1][close]] = True
    return soon
