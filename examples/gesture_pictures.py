"""What an event camera sends of gestures, and how soon runs of the recipe dvs128 tell them.

    python examples/gesture_pictures.py --events gestures.png --decisions decisions.png RUN...

The events are those of one subject of the generated sample: a wave, and an arm that turns both ways. The
curve has a line for each run that decides frame by frame.
"""

import argparse
from pathlib import Path

from spikeseq.recipes.gestures.data import SEED
from spikeseq.recipes.gestures.plots import plot_decisions, plot_events
from spikeseq.recipes.gestures.sample import CLASSES, make_recording
from spikeseq.recipes.runs import finished

SHOWN = ("Right hand wave", "Right arm cw", "Right arm ccw")
SUBJECT, LIGHT = 24, "led"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--events", type=Path, help="picture of events")
    parser.add_argument("--decisions", type=Path, help="picture of the runs' decisions over time")
    arguments = parser.parse_args()
    if arguments.events:
        recordings = {
            name: make_recording(SEED, SUBJECT, LIGHT, CLASSES.index(name), seconds=0.8) for name in SHOWN
        }
        plot_events(arguments.events, recordings)
    if arguments.decisions:
        tests = {run.name.removeprefix("dvs128-"): finished(run)["test"] for run in arguments.runs}
        decided = {name: test for name, test in tests.items() if "accuracy_by_frame" in test}
        if not decided:
            parser.error("--decisions needs runs that decide frame by frame: --method frames")
        plot_decisions(arguments.decisions, decided)


if __name__ == "__main__":
    main()
