// Tensors to plain pointers and back: one body for every device. `Device` supplies forward, backward,
// empty, sum_channels and check.
#pragma once

#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "checks.h"
#include "problem.h"

namespace spikeseq {

// The value of an enumeration by its name.
template <typename Kind>
Kind named(const char* what, std::string_view name) {
  std::string known;
  int i = 0;
  for (const char* one : Names<Kind>::all) {
    if (one == name) return static_cast<Kind>(i);
    known += (i++ ? ", " : "") + std::string(one);
  }
  TORCH_CHECK_VALUE(false, what, " must be one of ", known, ", got '", std::string(name), "'");
}

inline Choice choice_of(std::string_view reset, std::string_view readout, std::string_view surrogate,
                        double height, double width, bool detach_reset, bool norm_input = false) {
  return {named<Reset>("reset", reset), named<Readout>("readout", readout), named<Surrogate>("surrogate", surrogate),
          height, 1 / width, std::exp(-1 / width), detach_reset, norm_input};
}

inline Shape shape_of(const at::Tensor& current, const at::Tensor& threshold,
                      const std::optional<at::Tensor>& lengths, int64_t substeps, int64_t window) {
  int64_t inner = 1;
  for (int64_t d = 2; d < current.dim(); ++d) inner *= current.size(d);
  return {current.size(0), current.size(1), inner, threshold.numel(), substeps, window,
          lengths ? lengths->const_data_ptr<int64_t>() : nullptr};
}

// Calls work(In, S): the type of current, and of the membrane (float for half-precision currents).
template <typename Work>
void dispatch(at::ScalarType type, const Work& work) {
  switch (type) {
    case at::kFloat: return work(float(), float());
    case at::kDouble: return work(double(), double());
    case at::kBFloat16: return work(at::BFloat16(), float());
    case at::kHalf: return work(at::Half(), float());
    default: TORCH_CHECK(false, "current must be a floating-point tensor, got ", type);
  }
}

// The arguments that both directions of `lif` take, of which `lif_shape` is made; `state` is (1 + memory_planes, B, *), and of the membrane's type.
inline Checks check_lif(const at::Tensor& current, const char* name, const at::Tensor& state, const at::Tensor& leak,
                        const at::Tensor& threshold, const std::optional<at::Tensor>& lengths, const Choice& choice) {
  Checks check("current", current);
  TORCH_CHECK_VALUE(current.dim() >= 2, "current must be (L, B, *), got ", current.sizes());
  check.type = current.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  std::vector<int64_t> sizes = current.sizes().vec();
  sizes[0] = 1 + memory_planes(choice.surrogate);
  check(name, state, sizes);
  const int64_t channels = current.dim() > 2 ? current.size(2) : 1;
  if (leak.dim() > 1) {  // a row for each row of current
    check("leak", leak, current.sizes());
    check("threshold", threshold, threshold.numel() == 1 ? 1 : channels);
  } else {
    check("leak", leak, leak.numel() == 1 ? 1 : channels);
    check("threshold", threshold, leak.sizes());
  }
  check.lengths(lengths, current.size(1));
  return check;
}

inline Shape lif_shape(const at::Tensor& current, const at::Tensor& leak, const at::Tensor& threshold,
                       const std::optional<at::Tensor>& lengths, int64_t substeps, int64_t window) {
  Shape shape = shape_of(current, threshold, lengths, substeps, window);
  shape.leak_rows = leak.dim() > 1;
  return shape;
}

inline at::Tensor dense(const at::Tensor& t) { return t.contiguous(); }
inline std::optional<at::Tensor> dense(const std::optional<at::Tensor>& t) {
  return t ? std::optional<at::Tensor>(t->contiguous()) : std::nullopt;
}

template <typename Device>
std::tuple<at::Tensor, at::Tensor, at::Tensor> lif(
    const at::Tensor& current_, const at::Tensor& state_, const at::Tensor& leak_,
    const at::Tensor& threshold_, const std::optional<at::Tensor>& lengths_, int64_t substeps, int64_t window,
    std::string_view reset, std::string_view readout, std::string_view surrogate, double height, double width,
    bool detach_reset, bool norm_input) {
  const c10::DeviceGuard guard(current_.device());
  const at::Tensor current = dense(current_), state = dense(state_), leak = dense(leak_),
                   threshold = dense(threshold_);
  const auto lengths = dense(lengths_);
  const Choice choice = choice_of(reset, readout, surrogate, height, width, detach_reset, norm_input);
  check_lif(current, "state", state, leak, threshold, lengths, choice);
  check_steps(current.size(0), substeps, window, choice.readout == Readout::spikes);
  const Shape shape = lif_shape(current, leak, threshold, lengths, substeps, window);
  Device::check(shape, leak, threshold, lengths);

  std::vector<int64_t> sizes = current.sizes().vec();
  sizes[0] = shape.steps() / window;
  at::Tensor out = Device::empty(sizes, current.options());
  at::Tensor final_state = at::empty(state.sizes(), state.options());
  at::Tensor checkpoints = Device::empty({shape.checkpoints() * state.numel()}, state.options());
  if (shape.neurons() == 0) return {out, final_state, checkpoints};
  dispatch(current.scalar_type(), [&](auto in, auto s) {
    using In = decltype(in);
    using S = decltype(s);
    Device::forward(shape, choice,
                    Forward<In, S>{current.const_data_ptr<In>(), state.const_data_ptr<S>(),
                                   leak.const_data_ptr<S>(), threshold.const_data_ptr<S>(),
                                   out.data_ptr<In>(), final_state.data_ptr<S>(), checkpoints.data_ptr<S>()});
  });
  return {out, final_state, checkpoints};
}

template <typename Device>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> lif_backward(
    const at::Tensor& grad_out_, const at::Tensor& grad_final_, const at::Tensor& current_,
    const at::Tensor& checkpoints_, const at::Tensor& final_state_, const at::Tensor& leak_,
    const at::Tensor& threshold_, const std::optional<at::Tensor>& lengths_, int64_t substeps, int64_t window,
    std::string_view reset, std::string_view readout, std::string_view surrogate, double height, double width,
    bool detach_reset, bool norm_input) {
  const c10::DeviceGuard guard(current_.device());
  const at::Tensor grad_out = dense(grad_out_), grad_final = dense(grad_final_), current = dense(current_),
                   checkpoints = dense(checkpoints_), final_state = dense(final_state_), leak = dense(leak_),
                   threshold = dense(threshold_);
  const auto lengths = dense(lengths_);
  const Choice choice = choice_of(reset, readout, surrogate, height, width, detach_reset, norm_input);
  const Checks check = check_lif(current, "final_state", final_state, leak, threshold, lengths, choice);
  std::vector<int64_t> made = current.sizes().vec();
  made[0] = check_steps(current.size(0), substeps, window, choice.readout == Readout::spikes) / window;
  const Shape shape = lif_shape(current, leak, threshold, lengths, substeps, window);
  check.of_type("grad_out", grad_out, made, current.scalar_type());
  check("grad_final", grad_final, final_state.sizes());
  check("checkpoints", checkpoints, {shape.checkpoints() * final_state.numel()});

  at::Tensor grad_current = Device::empty(current.sizes(), current.options());
  at::Tensor grad_state = at::empty(final_state.sizes(), final_state.options());
  at::Tensor grad_leak = shape.leak_rows ? Device::empty(leak.sizes(), leak.options())
                                         : at::empty({shape.neurons()}, final_state.options());
  at::Tensor grad_threshold = at::empty({shape.neurons()}, final_state.options());
  if (shape.neurons() > 0) {
    dispatch(current.scalar_type(), [&](auto in, auto s) {
      using In = decltype(in);
      using S = decltype(s);
      Device::backward(
          shape, choice,
          Backward<In, S>{grad_out.const_data_ptr<In>(), grad_final.const_data_ptr<S>(),
                          current.const_data_ptr<In>(), checkpoints.const_data_ptr<S>(),
                          final_state.const_data_ptr<S>(), leak.const_data_ptr<S>(),
                          threshold.const_data_ptr<S>(), grad_current.data_ptr<In>(),
                          grad_state.data_ptr<S>(), grad_leak.data_ptr<S>(), grad_threshold.data_ptr<S>()});
    });
  }
  const auto sum = [&](const at::Tensor& per_neuron) {
    return shape.neurons() > 0 ? Device::sum_channels(shape, per_neuron)
                               : at::zeros({shape.channels}, per_neuron.options());
  };
  return {grad_current, grad_state, shape.leak_rows ? grad_leak : sum(grad_leak), sum(grad_threshold)};
}

}  // namespace spikeseq
