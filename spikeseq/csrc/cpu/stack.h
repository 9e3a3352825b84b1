// Layers of LIF neurons in one call: the kernel of the op `lif_stack`.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <tuple>

namespace spikeseq {

// Read-out (L or L * substeps, B, H) and the membranes after it.
std::tuple<at::Tensor, at::Tensor> lif_stack(const at::Tensor& x, const at::Tensor& state, at::TensorList weights,
                                             at::TensorList biases, at::TensorList leaks, at::TensorList thresholds,
                                             double smallest_threshold, int64_t substeps, std::string_view reset,
                                             std::string_view readout);

}  // namespace spikeseq
