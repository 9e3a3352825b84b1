// Layers of LIF neurons in one call: the kernel of the op `lif_stack`, and what its like share.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <vector>

namespace spikeseq {

// Read-out (L or L * substeps, B, H) and the membranes after it.
std::tuple<at::Tensor, at::Tensor> lif_stack(const at::Tensor& x, const at::Tensor& state, at::TensorList weights,
                                             at::TensorList biases, at::TensorList leaks, at::TensorList thresholds,
                                             double smallest_threshold, int64_t substeps, std::string_view reset,
                                             std::string_view readout);

// One value per neuron, moved into its bounds as `nn.LIF` does it.
template <typename S>
std::vector<S> bounded(const char* name, const at::Tensor& values, int64_t size, S least, S most) {
  const S* v = values.const_data_ptr<S>();
  const int64_t count = std::min(values.numel(), size);  // one for all, or one for each
  std::vector<S> spread(size);
  for (int64_t j = 0; j < count; ++j) {
    TORCH_CHECK_VALUE(std::isfinite(v[j]), name, " must be a finite number, got ", v[j]);
    spread[j] = std::clamp(v[j], least, most);
  }
  for (int64_t j = count; j < size; ++j) spread[j] = spread[0];
  return spread;
}

}  // namespace spikeseq
