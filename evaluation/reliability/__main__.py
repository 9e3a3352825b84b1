"""Damages files, kills trainings, streams tokens and gives lines to filters, and tells what became of it:

python -m spikeseq.evaluation.reliability fuzz [--cases 20000] [--write docs/reliability.md]
python -m spikeseq.evaluation.reliability kills [--count 1000] [--write docs/reliability.md]
python -m spikeseq.evaluation.reliability long [--tokens 1000000] [--write docs/reliability.md]
python -m spikeseq.evaluation.reliability filters [--lines 100000] [--write docs/reliability.md]
"""

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from spikeseq.evaluation.pages import between
from spikeseq.evaluation.reliability.filters import filters
from spikeseq.evaluation.reliability.fuzz import faults, fuzz, table
from spikeseq.evaluation.reliability.kills import kills
from spikeseq.evaluation.reliability.kills import table as kills_table
from spikeseq.evaluation.reliability.long import table as long_table
from spikeseq.evaluation.reliability.long import trained, written
from spikeseq.evaluation.reliability.targets import targets_in
from spikeseq.evaluation.reliability.tiny import TINY
from spikeseq.files import write_whole


def main() -> int:
    """The status is 1 where something is wrong."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m spikeseq.evaluation.reliability", description=about)
    commands = parser.add_subparsers(dest="command", required=True)
    damages = commands.add_parser("fuzz", help="damaged files")
    damages.add_argument("--cases", type=int, default=20_000, help="in all; default 20,000")
    damages.add_argument(
        "--runs", type=Path, default=Path("tests/data/old_runs"), help="finished runs to damage"
    )
    damages.add_argument("--only", default="", help="targets whose names hold this")
    damages.add_argument("--seed", type=int, default=0, help="of the first case of each target")
    damages.add_argument("--write", type=Path, metavar="FILE", help="put the table into this page")
    ends = commands.add_parser("kills", help="trainings that are killed and go on")
    ends.add_argument("--count", type=int, default=1_000, help="kills in all; default 1,000")
    ends.add_argument("--only", default="", help="trainings whose names hold this")
    ends.add_argument("--minutes", type=float, default=math.inf, help="after which no other is begun")
    ends.add_argument("--seed", type=int, default=0, help="the first operation, and of random moments")
    ends.add_argument("--write", type=Path, metavar="FILE", help="put the table into this page")
    lasts = commands.add_parser("long", help="memory while tokens pass")
    lasts.add_argument("--tokens", type=int, default=1_000_000, help="written; a tenth of it is trained on")
    lasts.add_argument("--write", type=Path, metavar="FILE", help="put the table into this page")
    answers = commands.add_parser("filters", help="commands that answer lines, under load")
    answers.add_argument("--lines", type=int, default=100_000, help="of the longest input")
    answers.add_argument("--bytes", type=int, default=50_000_000, help="of the longest line")
    answers.add_argument("--write", type=Path, metavar="FILE", help="put the table into this page")
    given = parser.parse_args()
    torch.set_num_threads(1)
    started, page = time.perf_counter(), None if given.write is None else given.write.resolve()
    ways = {"fuzz": damaged, "kills": killed, "long": streamed, "filters": loaded}
    content, wrong = ways[given.command](given)
    print("\n".join(wrong))
    print(f"{time.perf_counter() - started:.0f} s, {len(wrong)} wrong")
    if page is not None:
        write_whole(page, between(page.read_text(encoding="utf-8"), given.command, content))
        print(f"wrote {page}", file=sys.stderr)
    return int(bool(wrong))


def killed(given: argparse.Namespace) -> tuple[str, list[str]]:
    """The table, and a line for each kill that did harm."""
    with tempfile.TemporaryDirectory() as place:
        corpora_in(Path(place) / "cache")
        names = [name for name in TINY if given.only in name]
        found = kills(names, given.count, Path(place), seed=given.seed, seconds=60 * given.minutes)
    return kills_table(found), [f"{one.name}, {one.blows}: {one.fault}" for one in found if one.fault]


def damaged(given: argparse.Namespace) -> tuple[str, list[str]]:
    """The table, and a line for each case that is wrong."""
    with tempfile.TemporaryDirectory() as name:
        corpora_in(Path(name) / "cache")
        targets = [target for target in targets_in(Path(name), given.runs) if given.only in target.name]
        os.chdir(name)
        found = fuzz(targets, given.cases, Path(name) / "work", seed=given.seed)
    return table(found), faults(found)


def streamed(given: argparse.Namespace) -> tuple[str, list[str]]:
    """The table, and a line for each stream whose memory grew."""
    found = [written(given.tokens), trained(given.tokens // 10)]
    return long_table(found), [
        f"{one.name}: {one.most - one.start:,} bytes more" for one in found if one.grew
    ]


def loaded(given: argparse.Namespace) -> tuple[str, list[str]]:
    """The table, and a line for each input that was not answered line by line."""
    with tempfile.TemporaryDirectory() as name:
        corpora_in(Path(name) / "cache")
        return filters(Path(name), given.lines, given.bytes)


def corpora_in(folder: Path) -> None:
    """Lets corpora be kept there; the kernel need not be built anew."""
    from spikeseq.ops.build import ensure_native
    from spikeseq.ops.cache import share

    ensure_native("cpu")
    share(folder)
    os.environ["SPIKESEQ_CACHE"] = str(folder)


if __name__ == "__main__":
    sys.exit(main())
