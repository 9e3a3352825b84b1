"""The console script `spikeseq`: results on standard output, everything for people on standard error."""

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line. Exit status 2 for what the user can mend, 130 after Ctrl-C."""
    try:
        from spikeseq.recipes.commands import app
    except ImportError as error:
        print(f"spikeseq: the command line needs more packages ({error}): pip install 'spikeseq[recipes]'", file=sys.stderr)
        sys.exit(2)
    try:
        app()
    except KeyboardInterrupt:
        print("spikeseq: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("SPIKESEQ_TRACEBACK"):
            raise
        known = isinstance(error, ValueError | TypeError | OSError | ImportError | FloatingPointError | RuntimeError)
        text = " ".join(str(error).split()) or type(error).__name__
        kind = "" if known else f"{type(error).__name__}: "
        print(f"spikeseq: {kind}{text}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
