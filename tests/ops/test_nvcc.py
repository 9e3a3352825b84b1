"""Where there is a CUDA compiler, `lif.cu` must compile for a current GPU, without register spills."""

import re
import shutil
import subprocess

import pytest

from spikeseq.ops.build import CSRC, CUDA_FLAGS


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_the_cuda_source_compiles_without_spills(tmp_path):
    command = ["nvcc", "-c", "-std=c++17", "-arch=sm_90", *CUDA_FLAGS, "-Xptxas", "-v", str(CSRC / "lif.cu")]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "lif.o")], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert spills, "the compiler reported no kernels"
    assert set(spills) == {("0", "0")}
