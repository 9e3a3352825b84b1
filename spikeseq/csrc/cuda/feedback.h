// The border between feedback.cu (no torch header) and register.cpp (no CUDA code). See lif.h.
#pragma once

#include "../feedback_loop.h"
#include "lif.h"

namespace spikeseq {

// Only float32 and float64. Pointers are those of FeedbackForward and FeedbackBackward.
const char* launch_feedback_forward(Kind kind, const Shape& shape, const Choice& choice, const void* forward,
                                    Stream stream);
const char* launch_feedback_backward(Kind kind, const Shape& shape, const Choice& choice, const void* backward,
                                     Stream stream);

}  // namespace spikeseq
