// The border between lif.cu (no torch header) and register.cpp (no CUDA code). `Stream` is a cudaStream_t.
#pragma once

#include "../problem.h"

namespace spikeseq {

using Stream = void*;

// The kinds of In, in the order of the instantiations in lif.cu.
enum class Kind : int { float32, float64, bfloat16, float16 };

// Pointers are those of Forward and Backward, whose In and S follow from `kind`.
// Return a CUDA error string, or null.
const char* launch_forward(Kind kind, const Shape& shape, const Choice& choice, const void* forward,
                           Stream stream);
const char* launch_backward(Kind kind, const Shape& shape, const Choice& choice, const void* backward,
                            Stream stream);

}  // namespace spikeseq
