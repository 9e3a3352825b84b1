"""Large results of the CPU kernels live in memory that is kept from one step to the next.

Environment:
    SPIKESEQ_KEEP_MB: how much idle memory is kept at most, in MiB; default 512, 0 keeps none.
"""

import torch

from . import library
from .build import is_loaded

library.define("empty_kept(int[] sizes, Tensor like) -> Tensor")


def release_memory() -> int:
    """Gives the memory that the CPU kernels keep for their next results back to the system.

    A step makes tensors of the same sizes as the one before, and fresh memory costs more time than the
    kernels themselves. So up to 512 MiB (`SPIKESEQ_KEEP_MB` in the environment) of what was let go is kept.

    Returns:
        Bytes that were idle.
    """
    return int(torch.ops.spikeseq.release_memory()) if is_loaded("cpu") else 0
