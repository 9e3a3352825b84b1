"""Scenes of a person who gestures, as an event camera sees them: joints over time, and log brightness.

A body is a few soft-edged capsules before a plain, slightly textured ground. All of it is drawn from a random
generator: who it is (`Subject`), the ground, and how the gesture is made this time. Clockwise and
counter-clockwise are the same joints, read forwards and backwards: nothing but time tells them apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SIDE = 128  # pixels, of a DVS128
STEP_MS = 4.0  # a hand moves at most about a pixel in it
EDGE = 1.0  # pixels over which a limb's edge fades, as through a lens
BACKWARDS = {4: 3, 6: 5}  # a counter-clockwise class, and the clockwise one that it is backwards
OTHER, OTHERS = 10, 4  # the class of other gestures, and how many of them there are
OUTWARD = np.array([-1.0, 1.0])  # right, left: the person faces the camera, the right arm is on its left

# The light's slope to the right and downwards, and stray light, which lowers contrast; named as in the set.
LIGHTS = {
    "fluorescent": (0.10, -0.20, 0.010),
    "fluorescent_led": (-0.15, -0.10, 0.020),
    "lab": (0.00, -0.10, 0.005),
    "led": (0.25, -0.10, 0.015),
    "natural": (-0.30, 0.05, 0.030),
}


@dataclass(frozen=True)
class Subject:
    """A person: lengths as shares of the stretched arm's, reflectances from 0 to 1."""

    arm: float  # pixels from shoulder to hand, stretched
    centre: tuple[float, float]  # pixels: the middle between the shoulders
    shoulders: float  # half their distance
    upper: float  # the upper arm
    limb: float  # radius of an arm
    head: float  # its radius
    rate: float  # rounds per second
    reach: float  # how far gestures go
    lift: float  # how much lower they are made
    ground: float
    torso: float
    skin: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Subject":
        """Ground and torso are both darker than skin, or both brighter: an arm is seen before either."""
        sign, ground = rng.choice([-1, 1]), rng.uniform(0.30, 0.50)
        return cls(
            arm=rng.uniform(42, 54),
            centre=(63.5 + rng.uniform(-6, 6), 52 + rng.uniform(-5, 5)),
            shoulders=rng.uniform(0.32, 0.40),
            upper=rng.uniform(0.47, 0.53),
            limb=rng.uniform(0.065, 0.095),
            head=rng.uniform(0.19, 0.25),
            rate=rng.uniform(1.2, 1.9),
            reach=rng.uniform(0.92, 1.08),
            lift=rng.uniform(-0.06, 0.06),
            ground=ground,
            torso=ground * np.exp(-sign * rng.uniform(0.15, 0.45)),
            skin=ground * np.exp(sign * rng.uniform(0.55, 0.85)),
        )


def joints(subject: Subject, label: int, rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Shoulder, elbow and hand of the right and the left arm, (frames, 2, 3, 2) pixels x, y, every STEP_MS.

    The generator decides the tempo, where in the gesture the recording begins, and small irregularities. From
    equal generators the classes of a pair in `BACKWARDS` get the same joints in the opposite order.
    """
    frames = round(1000 * seconds / STEP_MS) + 1
    time = np.arange(frames) * STEP_MS / 1000
    rate, start, other = subject.rate * rng.uniform(0.85, 1.15), rng.uniform(0, 1), int(rng.integers(OTHERS))
    phase = 2 * np.pi * (start + rate * time) + _drift(rng, time, 0.25)
    right, left, bends = _hands(BACKWARDS.get(label, label), other, phase, int(rng.choice([-1, 1])))
    hands = np.stack(np.broadcast_arrays(*right, *left, phase)[:4], -1).reshape(frames, 2, 2)
    hands = hands * (OUTWARD * subject.reach)[:, None] ** [1, 0] + [0, subject.lift]
    hands += np.stack([_drift(rng, time, 0.015) for _ in range(4)], -1).reshape(frames, 2, 2)
    shoulders = np.zeros_like(hands)
    shoulders[..., 0] = OUTWARD * subject.shoulders
    places = np.stack([shoulders, *_arms(shoulders, hands, np.array(bends), subject.upper)], 2)
    sway = np.stack([_drift(rng, time, 0.012) for _ in range(2)], -1)
    if label == OTHER and other == 3:
        sway[:, 0] += 0.08 * np.sin(phase)
    places = (places + sway[:, None, None]) * subject.arm + subject.centre
    return places[::-1] if label in BACKWARDS else places


def _drift(rng: np.random.Generator, time: np.ndarray, size: float) -> np.ndarray:
    """A slow irregularity, as likely as the same backwards."""
    rates, starts = rng.uniform(0.3, 0.9, 2), rng.uniform(0, 2 * np.pi, 2)
    return size * np.sin(2 * np.pi * (rates * time[:, None] + starts / (2 * np.pi))).sum(1)


Hand = tuple[np.ndarray | float, np.ndarray | float]  # outwards from the body's middle, downwards


def _hands(gesture: int, other: int, phase: np.ndarray, sense: int) -> tuple[Hand, Hand, tuple[int, int]]:
    """Where the right and the left hand are, in arms from the middle of the shoulders, and how elbows bend.

    An elbow's bend is 1 where it hangs below a raised hand, -1 where it is outside a low one.
    """
    sine, cosine = np.sin(phase), np.cos(phase)
    rest: Hand = (0.46, 0.93)
    wave: Hand = (0.72 + 0.30 * sine, -0.45 - 0.10 * cosine**2)
    # Outwards is to the left of a picture for the right hand, which is clockwise there with sine negated.
    right_turn: Hand = (0.90 + 0.22 * cosine, 0.05 - 0.36 * sine)
    left_turn: Hand = (0.90 + 0.22 * cosine, 0.05 + 0.36 * sine)
    match gesture:
        case 0:  # hand clapping
            clap: Hand = (0.07 + 0.20 * (1 + cosine), 0.42)
            return clap, clap, (-1, -1)
        case 1:  # right hand wave
            return wave, rest, (1, -1)
        case 2:
            return rest, wave, (-1, 1)
        case 3:  # right arm clockwise, as the camera sees it
            return right_turn, rest, (1, -1)
        case 5:
            return rest, left_turn, (-1, 1)
        case 7:  # arm roll: forearms before the chest, around each other
            roll, fall = 0.13 * cosine, 0.19 * sense * sine
            return (-0.10 + roll, 0.40 + fall), (-0.10 + roll, 0.40 - fall), (-1, -1)
        case 8:  # air drums: strokes in turn, sharper down than up
            stroke = 0.20 * np.sin(phase + 0.4 * sine)
            return (0.30, 0.46 + stroke), (0.30, 0.46 - stroke), (-1, -1)
        case 9:  # air guitar: strumming, the other hand on the neck
            strum = np.sin(1.6 * phase)
            neck = 0.05 * np.sin(0.4 * phase)
            return (0.06 - 0.08 * strum, 0.58 + 0.19 * strum), (0.80 + neck, 0.10 - 0.5 * neck), (-1, 1)
    return _other_hands(other, phase)


def _other_hands(other: int, phase: np.ndarray) -> tuple[Hand, Hand, tuple[int, int]]:
    sine, cosine = np.sin(phase), np.cos(phase)
    if other == 0:  # both arms raised and lowered at the sides
        angle = 0.35 * np.pi * cosine
        flap: Hand = (0.36 + 0.80 * np.cos(angle), -0.85 * np.sin(angle))
        return flap, flap, (1, 1)
    if other == 1:  # both hands wave over the head
        return (0.30 + 0.30 * sine, -0.68), (0.30 - 0.30 * sine, -0.68), (1, 1)
    if other == 2:  # both arms stretched and bent sideways
        push: Hand = (0.82 + 0.36 * sine, -0.05)
        return push, push, (1, 1)
    hip: Hand = (0.38, 0.62)  # hands on the hips, the body sways
    return hip, hip, (-1, -1)


def _arms(
    shoulders: np.ndarray, hands: np.ndarray, bends: np.ndarray, upper: float
) -> tuple[np.ndarray, np.ndarray]:
    """Elbows and hands (frames, 2, 2) of arms of length 1: hands that are too far or near are moved."""
    way = hands - shoulders
    far = np.linalg.norm(way, axis=-1, keepdims=True)
    way, far = way / far, far.clip(0.25, 0.995)
    along = (far**2 + upper**2 - (1 - upper) ** 2) / (2 * far)
    across = np.sqrt(np.maximum(upper**2 - along**2, 0)) * (bends * OUTWARD)[:, None]
    aside = np.stack([-way[..., 1], way[..., 0]], -1)
    return shoulders + along * way + across * aside, shoulders + far * way


def log_brightness(
    subject: Subject, light: tuple[float, float, float], places: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """The scene at every step of `joints`: log brightness, float32 (SIDE, SIDE).

    Args:
        light: an entry of LIGHTS.
        rng: of the ground's texture.
    """
    across, down, stray = light
    axis = np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)
    lit = np.float32(1) + np.float32(across) * axis + np.float32(down) * axis[:, None]
    ground = np.float32(subject.ground) * _texture(rng)
    for place in places.astype(np.float32):
        image = ground.copy()
        for start, end, radius, shade in _body(subject, place):
            _paint(image, start, end, radius, shade)
        image *= lit
        image += np.float32(stray)
        yield np.log(image)


Capsule = tuple[np.ndarray, np.ndarray, float, float]  # from where, to where, its radius, its reflectance


def _body(subject: Subject, place: np.ndarray) -> list[Capsule]:
    """What is painted, the nearest last: torso, head, upper arms, forearms, hands."""
    size, (right, left) = subject.arm, place
    middle, down = (right[0] + left[0]) / 2, np.array([0, size], np.float32)
    aside = 0.45 * (right[0] - middle)
    top, foot = middle + 0.45 * subject.shoulders * down, middle + 1.6 * down
    torso = (0.58 * subject.shoulders * size, subject.torso)
    body: list[Capsule] = [
        (top + aside, foot + aside, *torso),
        (top - aside, foot - aside, *torso),
        (middle - 0.36 * down, middle - 0.30 * down, subject.head * size, subject.skin),
    ]
    limb = subject.limb * size
    for part, radius in ((0, 1.15), (1, 1.0)):
        body += [(arm[part], arm[part + 1], radius * limb, subject.skin) for arm in place]
    return body + [(arm[2], arm[2], 1.4 * limb, subject.skin) for arm in place]


def _paint(image: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float, shade: float) -> None:
    """Paints a capsule into image (H, W), only where it is: most of the picture is not touched."""
    reach = radius + EDGE
    low = np.maximum(np.minimum(start, end) - reach, 0).astype(int)
    high = np.minimum(np.maximum(start, end) + reach + 2, SIDE).astype(int)
    if (low >= high).any():
        return
    x = np.arange(low[0], high[0], dtype=np.float32) - start[0]
    y = np.arange(low[1], high[1], dtype=np.float32)[:, None] - start[1]
    (right, down) = end - start
    share = x * right + y * down
    share *= np.float32(1) / max(right * right + down * down, np.float32(1e-6))
    np.clip(share, 0, 1, out=share)
    dx, dy = x - share * right, y - share * down
    cover = np.sqrt(dx * dx + dy * dy)
    cover *= np.float32(-1 / EDGE)
    cover += np.float32(radius / EDGE + 0.5)
    np.clip(cover, 0, 1, out=cover)
    patch = image[low[1] : high[1], low[0] : high[0]]
    patch += cover * (np.float32(shade) - patch)


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Smooth blotches about 1, a few percent, float32 (SIDE, SIDE)."""
    coarse = rng.normal(0, 1, (9, 9))
    at = np.linspace(0, 7.999, SIDE)
    cell, share = at.astype(int), at % 1
    share = share**2 * (3 - 2 * share)
    rows = coarse[cell] * (1 - share)[:, None] + coarse[cell + 1] * share[:, None]
    blotches = rows[:, cell] * (1 - share) + rows[:, cell + 1] * share
    return np.exp(0.05 * blotches).astype(np.float32)
