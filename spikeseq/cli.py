"""The console script `spikeseq`: results on standard output, everything for people on standard error."""

import _thread
import errno
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn

NO_ROOM = (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT)


def run() -> NoReturn:
    """`main` as a program.

    After Ctrl-C everything is closed, and threads that still compute are left: Python's own ending aborts,
    now and then, where it stops one of them inside torch.
    """
    try:
        main()
    except SystemExit as end:
        if end.code != 130:
            raise
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # its reader may be gone
                stream.flush()
        os._exit(130)


def main() -> NoReturn:
    """Runs the command line. Exit status 2 for what the user can mend, 130 after Ctrl-C.

    With --json a failure is told on standard output as well: {"error": "..."}.
    """
    # torch reads it at its first allocation: large tensors come in large pages, which are touched faster.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    told, sys.unraisablehook = sys.unraisablehook, interrupt_again
    try:
        try:
            from spikeseq.recipes.command.start import uncollected

            with uncollected():
                from spikeseq.recipes.command import (  # noqa: F401  that join the app
                    commands,
                    export,
                    filters,
                    results,
                    vectors,
                )
                from spikeseq.recipes.command.app import app
        except ImportError as error:
            fail(f"the command line needs more packages ({error}): pip install 'spikeseq[recipes]'")
        # Not standalone: usage errors and Ctrl-C come here instead of being printed in several lines.
        status = app(args=sys.argv[1:] or ["--help"], prog_name="spikeseq", standalone_mode=False)
    except KeyboardInterrupt:
        status = 130
    except SystemExit as end:
        # typer ends so when the reader of a pipe has had enough, which is no failure.
        status = 0 if isinstance(end.__context__, BrokenPipeError) else end.code
    except Exception as error:
        if os.environ.get("SPIKESEQ_TRACEBACK"):
            raise
        if not isinstance(error.__cause__, KeyboardInterrupt):  # which some versions of typer wrap
            written_out()
            fail(described(error))
        status = 130
    finally:
        sys.unraisablehook = told
    if status == 130:
        fail("interrupted", 130)
    written_out()
    sys.exit(status or 0)


def written_out() -> None:
    """Brings out what was printed. Where that cannot be written, on a full disk say, one line tells; a reader
    that has had enough is none the worse."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # else Python tries again, and tells in lines of its own
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            fail(f"output cannot be written: {error.strerror}")


def interrupt_again(lost: Any) -> None:
    """A Ctrl-C that came while Python cleared up objects is lost; it comes again once that is done."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return

    over = threading.Event()

    def again() -> None:
        over.wait()
        time.sleep(0.01)  # until Python is back from here: inside, it would be lost again
        if hasattr(signal, "pthread_kill"):  # which wakes a thread that waits
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:  # Windows
            _thread.interrupt_main()

    _thread.start_new_thread(again, ())  # waits for nothing, as threading.Thread would for the thread's start
    over.set()


def fail(text: str, status: int = 2) -> NoReturn:
    """One line for people, an object for a program that asked for one, and the end."""
    text = text.removeprefix("spikeseq: ")
    print(f"spikeseq: {text}", file=sys.stderr)
    if "--json" in sys.argv[1:]:
        with suppress(OSError):  # which may be what is told
            print(json.dumps({"error": text}), flush=True)
    sys.exit(status)


def described(error: Exception) -> str:
    """One line that says what is wrong; the type's name only where the message alone would not tell."""
    usage = getattr(error, "format_message", None)  # an unknown option or a missing argument
    text = " ".join((usage() if usage else str(error)).split())
    # Some, as answers from the web, have a file and no reason; a copy has two files.
    places = (error.filename, error.filename2) if isinstance(error, OSError) and error.strerror else ()
    names = [str(place) for place in places if place is not None]
    if isinstance(error, OSError) and names:
        text = f"{' -> '.join(names)}: {error.strerror}"
    elif isinstance(error, OSError) and error.errno in NO_ROOM:
        bare = error.strerror == os.strerror(error.errno)  # else it says what cannot be written
        text = f"output cannot be written: {error.strerror}" if bare else text
    known = usage or isinstance(
        error, ValueError | TypeError | OSError | ImportError | ArithmeticError | RuntimeError
    )
    return text if known and text else f"{type(error).__name__}: {text}".removesuffix(": ")


if __name__ == "__main__":
    run()
