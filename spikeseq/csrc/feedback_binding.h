// Tensors to plain pointers and back for LIF with feedback, as binding.h. `Device` supplies forward and backward;
// the CPU's own kernel shares only what becomes of the gradients by the current of each sub-step.
#pragma once

#include <ATen/Dispatch.h>

#include <algorithm>
#include <tuple>

#include "binding.h"
#include "feedback_loop.h"

namespace spikeseq {

// (H, H): the gradient of I[t] times o[t-1], whose spikes are made again from the membranes, some sub-steps at once.
inline at::Tensor feedback_weight_gradient(const at::Tensor& by_current, const at::Tensor& membranes,
                                           const at::Tensor& threshold) {
  constexpr int64_t kSteps = 64;
  const int64_t steps = by_current.size(0), n = by_current.size(2);
  at::Tensor grad = at::zeros({n, n}, by_current.options());
  for (int64_t t = 0; t < steps; t += kSteps) {
    const int64_t count = std::min(kSteps, steps - t);
    const at::Tensor spikes = membranes.narrow(0, t, count).gt(threshold).to(membranes.scalar_type());
    grad.addmm_(by_current.narrow(0, t, count).reshape({-1, n}).t(), spikes.reshape({-1, n}));
  }
  return grad;
}

// The arguments that both directions take. `rows`: the currents, or in the backward pass the membranes; `state`: what they
// begin with, or the gradient of what they end with.
inline Checks check_feedback(const char* rows_name, const at::Tensor& rows, const char* state_name,
                             const at::Tensor& state, const at::Tensor& weight, const at::Tensor& leak,
                             const at::Tensor& threshold, const std::optional<at::Tensor>& lengths,
                             const Choice& choice) {
  const Checks check(rows_name, rows);
  TORCH_CHECK_VALUE(rows.dim() == 3, rows_name, " must be (L, B, H), got ", rows.sizes());
  TORCH_CHECK_VALUE(memory_planes(choice.surrogate) == 0, "feedback takes surrogates without a memory, got ",
                    Names<Surrogate>::all[static_cast<int>(choice.surrogate)]);
  const int64_t batch = rows.size(1), n = rows.size(2);
  check(state_name, state, {batch, n});
  check("weight", weight, {n, n});
  check.channels("leak", leak, n);
  check("threshold", threshold, leak.sizes());
  check.lengths(lengths, batch);
  return check;
}

// Those of the backward pass besides; returns how many rows of currents there were.
inline int64_t check_feedback_backward(const Checks& check, const at::Tensor& membranes, const at::Tensor& grad_out,
                                       int64_t substeps, int64_t window, bool spikes) {
  const int64_t steps = membranes.size(0) - 1;
  check_steps(std::max<int64_t>(0, steps), 1, window, spikes);
  TORCH_CHECK_VALUE(steps >= 0 && substeps >= 1 && steps % substeps == 0, "membranes must be (L * ", substeps,
                    " + 1, B, H), got ", membranes.sizes());
  check("grad_out", grad_out, {steps / window, membranes.size(1), membranes.size(2)});
  return steps / substeps;
}

using FeedbackGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// Gradients of current, state, weight, leak and threshold, from those per sub-step and sequence.
inline FeedbackGradients feedback_gradients(const at::Tensor& by_current, const at::Tensor& grad_state,
                                            const at::Tensor& by_leak, const at::Tensor& by_threshold,
                                            const at::Tensor& membranes, const at::Tensor& threshold,
                                            int64_t substeps) {
  const auto by_channel = [&](const at::Tensor& values) {
    const at::Tensor sums = values.sum(0);
    return threshold.numel() == 1 ? sums.sum().reshape({1}) : sums;
  };
  const at::Tensor grad_current =
      substeps == 1 ? by_current : by_current.unflatten(0, {by_current.size(0) / substeps, substeps}).sum(1);
  return {grad_current, grad_state, feedback_weight_gradient(by_current, membranes, threshold), by_channel(by_leak),
          by_channel(by_threshold)};
}

template <typename Device>
std::tuple<at::Tensor, at::Tensor, at::Tensor> lif_feedback(
    const at::Tensor& current_, const at::Tensor& state, const at::Tensor& weight, const at::Tensor& leak_,
    const at::Tensor& threshold_, const std::optional<at::Tensor>& lengths_, int64_t substeps, int64_t window,
    std::string_view reset, std::string_view readout, std::string_view surrogate, double height, double width,
    bool detach_reset) {
  const c10::DeviceGuard guard(current_.device());
  const at::Tensor current = dense(current_), leak = dense(leak_), threshold = dense(threshold_);
  const auto lengths = dense(lengths_);
  const Choice choice = choice_of(reset, readout, surrogate, height, width, detach_reset);
  check_feedback("current", current, "state", state, weight, leak, threshold, lengths, choice);
  check_steps(current.size(0), substeps, window, choice.readout == Readout::spikes);
  const Shape shape = shape_of(current, leak, lengths, substeps, window);
  at::Tensor out = at::empty({shape.steps() / window, shape.batch, shape.inner}, current.options());
  at::Tensor membranes = at::empty({shape.steps() + 1, shape.batch, shape.inner}, current.options());
  membranes.select(0, 0).copy_(state);
  const at::Tensor by_neuron = weight.detach().t().contiguous();
  if (shape.neurons() > 0)
    AT_DISPATCH_FLOATING_TYPES(current.scalar_type(), "lif_feedback", [&] {
      using S = scalar_t;
      Device::forward(shape, choice,
                      FeedbackForward<S>{current.const_data_ptr<S>(), by_neuron.const_data_ptr<S>(),
                                         leak.const_data_ptr<S>(), threshold.const_data_ptr<S>(),
                                         membranes.data_ptr<S>(), out.data_ptr<S>()});
    });
  return {out, membranes.select(0, shape.steps()).clone(), membranes};
}

template <typename Device>
FeedbackGradients lif_feedback_backward(
    const at::Tensor& grad_out_, const at::Tensor& grad_final_, const at::Tensor& membranes_,
    const at::Tensor& weight_, const at::Tensor& leak_, const at::Tensor& threshold_,
    const std::optional<at::Tensor>& lengths_, int64_t substeps, int64_t window, std::string_view reset,
    std::string_view readout, std::string_view surrogate, double height, double width, bool detach_reset) {
  const c10::DeviceGuard guard(membranes_.device());
  const at::Tensor grad_out = dense(grad_out_), grad_final = dense(grad_final_), membranes = dense(membranes_),
                   weight = dense(weight_.detach()), leak = dense(leak_), threshold = dense(threshold_);
  const auto lengths = dense(lengths_);
  const Choice choice = choice_of(reset, readout, surrogate, height, width, detach_reset);
  const Checks check =
      check_feedback("membranes", membranes, "grad_final", grad_final, weight, leak, threshold, lengths, choice);
  const int64_t rows =
      check_feedback_backward(check, membranes, grad_out, substeps, window, choice.readout == Readout::spikes);
  Shape shape = shape_of(membranes, leak, lengths, substeps, window);
  shape.rows = rows;
  const auto options = membranes.options();
  at::Tensor by_current = at::empty({shape.steps(), shape.batch, shape.inner}, options);
  at::Tensor grad_state = at::empty({shape.batch, shape.inner}, options), by_leak = at::empty_like(grad_state),
             by_threshold = at::empty_like(grad_state);
  if (shape.neurons() > 0)
    AT_DISPATCH_FLOATING_TYPES(membranes.scalar_type(), "lif_feedback_backward", [&] {
      using S = scalar_t;
      Device::backward(
          shape, choice,
          FeedbackBackward<S>{grad_out.const_data_ptr<S>(), grad_final.const_data_ptr<S>(),
                              membranes.const_data_ptr<S>(), weight.const_data_ptr<S>(), leak.const_data_ptr<S>(),
                              threshold.const_data_ptr<S>(), by_current.data_ptr<S>(), grad_state.data_ptr<S>(),
                              by_leak.data_ptr<S>(), by_threshold.data_ptr<S>()});
    });
  return feedback_gradients(by_current, grad_state, by_leak, by_threshold, membranes, threshold, substeps);
}

}  // namespace spikeseq
