"""Spoken digits that the package makes itself: two gliding tones a digit, in noise, at any loudness."""

from collections.abc import Iterator

import numpy as np

RATE = 8000
COUNTS = {"train": 300, "test": 100}
LOW = np.array([300, 450, 600, 750, 900])
HIGH = np.array([1500, 2600])


def speak_digits() -> Iterator[tuple[str, np.ndarray, int, int, bool]]:
    """Recordings as `sounds.load_sounds` takes them; the same every time."""
    for number, (split, count) in enumerate(COUNTS.items()):
        rng = np.random.default_rng(number)
        for row in range(count):
            yield f"sample, {split} {row + 1}", speak(row % 10, rng), RATE, row % 10, split == "test"


def speak(digit: int, rng: np.random.Generator) -> np.ndarray:
    """One digit, float64: what its tones are decides which; pitch, length and loudness vary."""
    seconds = rng.uniform(0.25, 0.5)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch, glide = rng.uniform(0.95, 1.05), 1 + rng.uniform(0.1, 0.2) * time / seconds
    tones = (LOW[digit % 5], HIGH[digit // 5])
    sound = sum(np.sin(2 * np.pi * pitch * tone * glide * time + rng.uniform(0, 6)) for tone in tones)
    return rng.uniform(0.01, 1) * (np.hanning(len(time)) * sound + rng.normal(0, 0.05, len(time)))
