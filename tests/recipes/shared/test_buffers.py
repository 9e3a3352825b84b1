"""Kept buffers: where glibc is, memory that is freed comes back without fresh pages."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, torch
from spikeseq.recipes.shared.buffers import keep_buffers
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.empty(6 << 18).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
torch.set_num_threads(1)
before = faults()
print(keep_buffers(), before, faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_freed_memory_is_used_again():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    kept, before, _, after = done.stdout.split()
    assert kept == "True" and int(after) < int(before) / 10, done.stdout
