// Large results on a CPU: their memory is kept when they are let go and handed out again. Memory fresh from the system
// is cleared page by page on its first touch, which costs several times what the kernels do in it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace spikeseq {

// An uninitialised tensor; of kept memory where it is large.
at::Tensor empty_kept(at::IntArrayRef sizes, const at::TensorOptions& options);

// Gives all that is kept and idle back to the system; returns how many bytes that was.
int64_t release_memory();

}  // namespace spikeseq
