// What ops ask of their arguments before loops read them without looking. An error names the argument, what it is, and
// what is accepted.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace spikeseq {

// The tensors of one call: all of one device, dense, and of one type unless said otherwise.
struct Checks {
  at::Device device;
  at::ScalarType type;

  explicit Checks(const char* name, const at::Tensor& first)
      : device(first.device()), type(first.scalar_type()) {
    TORCH_CHECK_TYPE(first.layout() == at::kStrided, name, " must be dense, got layout ", first.layout());
    TORCH_CHECK_TYPE(at::isFloatingType(type), name, " must be a floating-point tensor, got ", type);
  }

  // `layer` is told where it is not negative. Text is only put together for an error.
  void of_type(const char* name, const at::Tensor& t, at::IntArrayRef sizes, at::ScalarType wanted,
               int64_t layer = -1) const {
    const auto named = [&] { return layer < 0 ? std::string(name) : name + (" of layer " + std::to_string(layer)); };
    TORCH_CHECK_TYPE(t.layout() == at::kStrided, named(), " must be dense, got layout ", t.layout());
    TORCH_CHECK_VALUE(t.sizes() == sizes, named(), " must be ", sizes, ", got ", t.sizes());
    TORCH_CHECK_TYPE(t.scalar_type() == wanted, named(), " must be ", wanted, ", got ", t.scalar_type());
    TORCH_CHECK_VALUE(t.device() == device, named(), " must be on ", device, ", got ", t.device());
  }
  void operator()(const char* name, const at::Tensor& t, at::IntArrayRef sizes, int64_t layer = -1) const {
    of_type(name, t, sizes, type, layer);
  }
  void operator()(const char* name, const std::optional<at::Tensor>& t, at::IntArrayRef sizes) const {
    if (t) of_type(name, *t, sizes, type);
  }
  // One value, or one for each of n channels.
  void channels(const char* name, const at::Tensor& t, int64_t n, int64_t layer = -1) const {
    of_type(name, t, t.numel() == 1 ? t.sizes() : at::IntArrayRef(n), type, layer);
  }
  void lengths(const std::optional<at::Tensor>& t, int64_t batch) const {
    if (t) of_type("lengths", *t, {batch}, at::kLong);
  }
};

inline void check_contiguous(const char* name, const at::Tensor& t) {
  TORCH_CHECK_VALUE(t.is_contiguous(), name, " must be contiguous, got strides ", t.strides(), " of ", t.sizes());
}

// Sub-steps of `rows` rows that last `substeps` each, which must make up whole windows.
inline int64_t check_steps(int64_t rows, int64_t substeps, int64_t window, bool spikes) {
  TORCH_CHECK_VALUE(substeps >= 1, "substeps must be at least 1, got ", substeps);
  TORCH_CHECK_VALUE(window >= 1, "window must be at least 1, got ", window);
  TORCH_CHECK_VALUE(rows <= std::numeric_limits<int32_t>::max() / substeps, "substeps ", substeps, " times ", rows,
                    " rows are more than ", std::numeric_limits<int32_t>::max());
  TORCH_CHECK_VALUE(rows * substeps % window == 0, "window ", window, " does not divide the ", rows * substeps,
                    " sub-steps");
  TORCH_CHECK_VALUE(!spikes || window == 1, "window must be 1 for the readout of spikes, got ", window);
  return rows * substeps;
}

}  // namespace spikeseq
