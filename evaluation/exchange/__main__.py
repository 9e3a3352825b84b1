"""Measures the tables of docs/exchange.md and docs/neurons.md, beside the libraries that are compared:

    python -m spikeseq.evaluation.exchange agreement [--write docs/exchange.md]
    python -m spikeseq.evaluation.exchange neurons --python PYTHON [--write docs/neurons.md]

PYTHON is an interpreter with lava and brian2, which need an older one. `make exchange` sets up both.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from spikeseq.evaluation.pages import between
from spikeseq.files import write_whole


def agreement(python: str | None) -> dict[str, str]:
    """What stands in docs/exchange.md, by the names of its marks."""
    from spikeseq.evaluation.exchange.agreement import ours_in_theirs, theirs_in_ours

    found = {name: table.text() for name, table in ours_in_theirs().items()}
    with tempfile.TemporaryDirectory() as folder:
        found["theirs"] = theirs_in_ours(Path(folder)).text()
    return found


def neurons(python: str | None) -> dict[str, str]:
    """What stands in docs/neurons.md."""
    from spikeseq.evaluation.exchange.page import neurons_page

    return neurons_page(python)


PAGES = {"agreement": agreement, "neurons": neurons}


def main() -> None:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m spikeseq.evaluation.exchange", description=about)
    parser.add_argument("what", choices=PAGES)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put it into this page")
    parser.add_argument("--python", help="an interpreter with lava and brian2")
    arguments = parser.parse_args()
    found = PAGES[arguments.what](arguments.python)
    if arguments.write is None:
        print("\n\n".join(found.values()))
        return
    text = arguments.write.read_text()
    for name, content in found.items():
        text = between(text, name, content)
    write_whole(arguments.write, text)
    print(f"wrote {arguments.write}", file=sys.stderr)


if __name__ == "__main__":
    main()
