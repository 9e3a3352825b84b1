"""Code that runs in a process of its own."""

import os
import subprocess
import sys
import textwrap

# Whatever the kernels take to be built on a machine where others compute, too.
LIMIT = 800


def start(code, **environment):
    """A process of its own that runs `code`, in its own group so that its compilers can be stopped too."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def run(code, timeout=LIMIT, **environment):
    process = start(code, **environment)
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err
