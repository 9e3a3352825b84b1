"""Where there is a CUDA compiler, the CUDA sources must compile for current GPUs, without register spills,
and the C++ that hands tensors to them must fit torch's headers."""

import re
import shutil
import subprocess

import pytest
from torch.utils.cpp_extension import COMMON_NVCC_FLAGS, include_paths

from spikeseq.ops.build import CSRC, CUDA_FLAGS

# Compiling takes minutes where others compute.
pytestmark = pytest.mark.timeout(1800)
LIMIT = 1500


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.parametrize(
    ("source", "kernels"),
    [
        ("lif.cu", 48),  # forward and backward of three resets and four types, leaks with rows or not
        ("feedback.cu", 24),  # of three resets and two types, weights on the chip or not
    ],
)
def test_the_cuda_sources_compile_without_spills(tmp_path, source, kernels):
    # The flags with which torch will build it on a machine that has a GPU.
    targets = [f"-gencode=arch=compute_{sm},code=sm_{sm}" for sm in (80, 90, 100)]
    flags = [*COMMON_NVCC_FLAGS, "-std=c++20", *targets, *CUDA_FLAGS]
    command = ["nvcc", "-c", *flags, "-Xptxas", "-v", str(CSRC / "cuda" / source)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "kernel.o")], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert len(spills) == 3 * kernels, "for each GPU"
    assert set(spills) == {("0", "0")}


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_the_binding_fits_the_headers_of_torch(tmp_path):
    # torch writes this one header only where it is built for CUDA.
    macros = tmp_path / "c10" / "cuda" / "impl" / "cuda_cmake_macros.h"
    macros.parent.mkdir(parents=True)
    macros.write_text("#pragma once\n")
    folders = [f"-I{folder}" for folder in (*include_paths(), tmp_path)]
    command = ["nvcc", "-c", "-std=c++20", "-O0", *folders, str(CSRC / "cuda" / "register.cpp")]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "binding.o")], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
