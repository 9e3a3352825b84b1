"""What an environment holds, pinned by hash: `python .ci/lock.py FILE` (`make lock`).

Run by the Python of an environment that has spikeseq, its extras and uv. Hashes are those of all files that
the index offers for a version, so that any of them may be chosen. Left out are torch, whose builds differ
between indexes, and what only its builds for GPUs bring along.
"""

import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

OURS = {"spikeseq", "pip", "uv", "torch", "triton"}
OF_TORCH = ("nvidia-", "cuda-")
AS_PIP = {"PIP_CERT": "SSL_CERT_FILE", "PIP_INDEX_URL": "UV_DEFAULT_INDEX"}
"""What pip was told by the environment, and what uv calls it."""


def pins() -> list[str]:
    """Name and version of everything that is installed here and belongs into the lock."""
    found = {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in distributions()}
    return sorted(
        f"{name}=={version}"
        for name, version in found.items()
        if name not in OURS and not name.startswith(OF_TORCH)
    )


def main(file: Path) -> None:
    """Writes the lock."""
    command = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-deps", "--no-header"]
    told = {uv: os.environ[pip] for pip, uv in AS_PIP.items() if pip in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", *command, "--no-annotate", "--no-emit-index-url", "-"],
        input="\n".join(pins()), stdout=subprocess.PIPE, text=True, check=True, env=os.environ | told,
    )  # fmt: skip
    head = "# Made by `make lock` for the Python and platform in its name; no torch (docs/security.md).\n"
    file.write_text(head + done.stdout, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
