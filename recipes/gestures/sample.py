"""Generated gestures in the layout in which tonic keeps the DVS128 set: the same loader reads both.

`DVSGesture/ibmGestureTrain/user01_fluorescent/0.npy` and so on: a folder for each subject and light, a file
for each class, plain (N, 4) arrays of x, y, polarity and time in ms. As in the set, subjects up to 23 are
trained on and those from 24 up tested.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from spikeseq.recipes.gestures.events import Camera, record
from spikeseq.recipes.gestures.scene import BACKWARDS, LIGHTS, STEP_MS, Subject, joints, log_brightness

CLASSES = (
    *("Hand clapping", "Right hand wave", "Left hand wave", "Right arm cw", "Right arm ccw"),
    *("Left arm cw", "Left arm ccw", "Arm roll", "Air drums", "Air guitar", "Other gestures"),
)  # named and numbered as in tonic
SPLITS = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
FIRST = {"train": 1, "test": 24}  # number of the first subject
MOST = {"train": 23, "test": 76}  # subjects: their numbers have two digits, and no other split has them
FEWEST = 100  # recordings of a split, below which tonic downloads the set anew


def write_gesture_sample(
    folder: Path,
    seed: int = 0,
    *,
    train: int = 15,
    test: int = 5,
    lights: Iterable[str] = ("fluorescent", "fluorescent_led", "led", "natural"),
    seconds: float = 1.2,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Writes `train` and `test` subjects, each in every light with every gesture; the same for a seed.

    The defaults give 660 and 220 recordings, enough for a small network, in two minutes on one core; 1.2 s
    are a round and a half or more of each gesture.

    Args:
        folder: gets the folder `DVSGesture`; for tonic it is `save_to`.
        lights: of LIGHTS.

    Raises:
        ValueError: too few recordings in a split for tonic, or too many subjects.
    """
    lights, counts = list(lights), {"train": train, "test": test}
    for split, count in counts.items():
        recordings = count * len(lights) * len(CLASSES)
        if recordings < FEWEST or count > MOST[split]:
            raise ValueError(
                f"{count} {split} subjects in {len(lights)} lights: {recordings} recordings; "
                f"expected {FEWEST} or more, of at most {MOST[split]} subjects"
            )
    total = (train + test) * len(lights) * len(CLASSES)
    say(f"generating {total} recordings of gestures, once")
    for split, count in counts.items():
        for user in range(FIRST[split], FIRST[split] + count):
            for light in lights:
                place = folder / "DVSGesture" / SPLITS[split] / f"user{user:02}_{light}"
                place.mkdir(parents=True)
                for label in range(len(CLASSES)):
                    events = make_recording(seed, user, light, label, seconds)
                    # int32, because tonic turns ms into µs in the type that it finds.
                    columns = [events["x"], events["y"], events["p"], events["t"] // 1000]
                    np.save(place / f"{label}.npy", np.stack(columns, 1).astype(np.int32))
        # tonic looks for the archive by its name only.
        archive = folder / "DVSGesture" / f"{SPLITS[split]}.tar.gz"
        archive.write_text("Not an archive: the recordings beside it were generated.\n")


def make_recording(seed: int, user: int, light: str, label: int, seconds: float = 1.2) -> np.ndarray:
    """Events of one recording, an array of `gesture_events.EVENT`.

    Two rotations that are each other backwards have the same scene, and noise of their own.
    """
    frames = make_scene(seed, user, light, label, seconds)
    camera = Camera.draw(np.random.default_rng([seed, 0]))
    return record(frames, STEP_MS, camera, np.random.default_rng([seed, 1, user, _index(light), label]))


def make_scene(seed: int, user: int, light: str, label: int, seconds: float = 1.2) -> Iterator[np.ndarray]:
    """Log brightness (SIDE, SIDE) of a recording, every STEP_MS."""
    subject = Subject.draw(np.random.default_rng([seed, 2, user]))
    rng = np.random.default_rng([seed, 3, user, _index(light), BACKWARDS.get(label, label)])
    places = joints(subject, label, rng, seconds)
    return log_brightness(subject, LIGHTS[light], places, rng)


def _index(light: str) -> int:
    return list(LIGHTS).index(light)
