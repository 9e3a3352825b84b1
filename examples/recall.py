"""How long does a language model remember a name? Texts that ask for it, and the share that is right.

    python examples/recall.py write DIR
    spikeseq train lm --data DIR --set data.reset=true --set train.chunk=512
    python examples/recall.py test RUN... --distance 100 1000 5000

Without runs: four small models, each trained for as many seconds of processor time.

    python examples/recall.py contest --seconds 240 --distance 100 1000 5000

One name of eight is told; guessing is right in 12.5 %. A distance is in characters.
"""

import argparse
from pathlib import Path

from spikeseq.recipes.language.recall import table, write
from spikeseq.recipes.language.recall_contest import contest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, dest="command")
    writes = commands.add_parser("write", help="write training texts")
    writes.add_argument("folder", type=Path, metavar="DIR")
    writes.add_argument("--longest", type=int, default=5000, help="largest distance in characters")
    writes.add_argument("--documents", type=int, default=20_000, help="to train on")
    tests = commands.add_parser("test", help="test trained runs")
    tests.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    tests.add_argument("--distance", nargs="+", type=int, default=[100, 1000, 5000])
    contests = commands.add_parser("contest", help="train and test small models")
    contests.add_argument("--seconds", type=float, default=240.0, help="of processor time, each")
    contests.add_argument("--distance", nargs="+", type=int, default=[100, 1000, 5000])
    contests.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.command == "write":
        write(arguments.folder, arguments.longest, arguments.documents)
    elif arguments.command == "contest":
        for line in contest(arguments.seconds, arguments.distance, arguments.seed):
            print(line, flush=True)
    else:
        print(table(arguments.runs, arguments.distance))


if __name__ == "__main__":
    main()
