"""Buffers that are kept: reused, never shared by two tensors, and given back."""

import os
import subprocess
import sys

import pytest
import torch

import spikeseq
from spikeseq.ops.build import ensure_native

pytestmark = pytest.mark.skipif(not ensure_native("cpu"), reason="needs the native kernel")
LARGE = [300, 1000]  # 1.2 MB in float32


def empty(sizes=LARGE, dtype=torch.float32):
    return torch.ops.spikeseq.empty_kept(sizes, torch.empty(0, dtype=dtype))


@pytest.fixture(autouse=True)
def nothing_kept():
    torch.ops.spikeseq.release_memory()
    yield
    torch.ops.spikeseq.release_memory()


def test_a_buffer_is_used_again():
    first = empty()
    address = first.data_ptr()
    del first
    assert empty().data_ptr() == address


def test_two_tensors_never_share():
    a, b = empty(), empty()
    a.fill_(1.0)
    b.fill_(2.0)
    assert (a == 1).all() and (b == 2).all()
    view = a[10:20]
    del a
    empty().fill_(3.0)
    assert (view == 1).all()  # a view keeps its memory


def test_not_for_what_is_much_smaller_or_larger():
    first = empty()
    address = first.data_ptr()
    del first
    assert empty([100, 1000]).data_ptr() != address
    assert empty([900, 1000]).data_ptr() != address


def test_it_is_a_tensor_like_any_other():
    x = empty()
    assert x.shape == (300, 1000) and x.is_contiguous()
    x.resize_(600, 1000).fill_(1.0)
    assert torch.equal(x.share_memory_(), torch.ones(600, 1000))
    assert empty([2, 3], torch.float64).dtype == torch.float64
    assert empty([0, 3]).shape == (0, 3)


def test_idle_memory_is_released():
    gone = [empty() for _ in range(3)]
    in_use = empty()
    del gone
    freed = spikeseq.release_memory()
    assert freed >= 3 * in_use.nbytes and spikeseq.release_memory() == 0


@pytest.mark.parametrize("megabytes, kept", [("0", 0), ("2", 1), ("64", 3)])
def test_the_limit(megabytes, kept):
    code = (
        "import torch, spikeseq; spikeseq.build('cpu')\n"
        "x = [torch.ops.spikeseq.empty_kept([300, 1000], torch.empty(0)) for _ in range(3)]\n"
        "del x; print(spikeseq.release_memory() // 1_200_000)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "SPIKESEQ_KEEP_MB": megabytes},
    )  # fmt: skip
    assert int(out.stdout.split()[-1]) == kept


@pytest.mark.parametrize("megabytes", ["many", "-1", "1.5"])
def test_a_limit_that_is_no_number_is_named(megabytes):
    code = (
        "import torch, spikeseq; spikeseq.build(); torch.ops.spikeseq.empty_kept([9999, 99], torch.empty(0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, env={**os.environ, "SPIKESEQ_KEEP_MB": megabytes},
    )  # fmt: skip
    assert f"SPIKESEQ_KEEP_MB must be a number of MiB, got {megabytes}" in done.stderr


def test_without_a_kernel_there_is_nothing_to_release(monkeypatch):
    monkeypatch.setattr("spikeseq.ops.memory.is_loaded", lambda device: False)
    assert spikeseq.release_memory() == 0
