"""The ops as PyTorch sees them, a file each: schema, shapes without data, gradient, and the two ways.

The fused way is a native kernel, the plain way ordinary PyTorch. `dispatch` takes the fused one where the
op's `fits` finds no reason against it. Importing this needs no compiler: the first eager call builds kernels.
"""

import torch

library = torch.library.Library("spikeseq", "DEF")
