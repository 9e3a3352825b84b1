// LIF with feedback on the CPU: I[t] = current[t] + W o[t-1]. Forward, a sequence is followed through all of time
// with the weights in cache, and only the rows of weights are added whose neuron fired. Backward, the sequences of a
// thread go through time together, with one matrix product a sub-step.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <vector>

#include "../feedback_binding.h"
#include "../problem.h"
#include "events.h"
#include "memory.h"
#include "rows.h"

namespace spikeseq {
namespace {

// What forward and backward share. Membranes are (steps + 1, B, H): before the first sub-step, and after each.
template <typename S>
struct Feedback {
  Shape shape;
  Choice choice;
  std::vector<S> leak, threshold, inverse_threshold;  // per neuron of a sequence

  Feedback(const Shape& shape, const Choice& choice, const at::Tensor& leaks, const at::Tensor& thresholds)
      : shape(shape), choice(choice), leak(shape.inner), threshold(shape.inner), inverse_threshold(shape.inner) {
    const S *l = leaks.const_data_ptr<S>(), *v = thresholds.const_data_ptr<S>();
    for (int64_t j = 0; j < shape.inner; ++j) {
      leak[j] = l[shape.channel(j)];
      threshold[j] = v[shape.channel(j)];
      inverse_threshold[j] = S(1) / threshold[j];
    }
  }
  int64_t at(int64_t t, int64_t b) const { return (t * shape.batch + b) * shape.inner; }
  int64_t steps(int64_t b) const { return shape.steps_of(b * shape.inner); }
};

// One sequence. `weight` is (H, H), a row for the neuron that fired.
template <typename S>
void forward_one(const Feedback<S>& f, const Rows<S>& rows, int64_t b, const S* current, const S* weight,
                 S* membranes, S* out) {
  const int64_t n = f.shape.inner, steps = f.steps(b);
  const Readout readout = f.choice.readout;
  std::vector<S> input(n), count(n, S(0));
  std::vector<int32_t> neurons(n + kGroup);
  for (int64_t t = 0; t < f.shape.steps(); ++t) {
    const bool window_ends = (t + 1) % f.shape.window == 0, ended = t >= steps;
    const S *u = membranes + f.at(t, b), *v = f.threshold.data();
    S *next = membranes + f.at(t + 1, b), *o = out + f.at(t / f.shape.window, b);
    if (ended) {
      std::copy_n(u, n, next);
    } else {
      std::copy_n(current + f.at(t / f.shape.substeps, b), n, input.data());
      const int64_t spikes = fired(n, u, v, neurons.data());
      add_rows(neurons.data(), spikes, weight, n, input.data());
      rows.update(n, u, input.data(), f.leak.data(), v, next);
    }
    if (readout == Readout::rate) {
      if (!ended)
        for (int64_t j = 0; j < n; ++j) count[j] += fires(next[j], v[j]) ? S(1) : S(0);
      if (!window_ends) continue;
      for (int64_t j = 0; j < n; ++j) o[j] = count[j] / S(f.shape.window);
      std::fill(count.begin(), count.end(), S(0));
    } else if (ended) {
      if (window_ends) std::fill_n(o, n, S(0));
    } else if (readout == Readout::spikes) {
      for (int64_t j = 0; j < n; ++j) o[j] = fires(next[j], v[j]) ? S(1) : S(0);
    } else if (window_ends) {
      std::copy_n(next, n, o);
    }
  }
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lif_recurrent(
    const at::Tensor& current_, const at::Tensor& state, const at::Tensor& weight, const at::Tensor& leak_,
    const at::Tensor& threshold_, const std::optional<at::Tensor>& lengths_, int64_t substeps, int64_t window,
    std::string_view reset, std::string_view readout, std::string_view surrogate, double height, double width,
    bool detach_reset) {
  const at::Tensor current = dense(current_), leak = dense(leak_), threshold = dense(threshold_);
  const auto lengths = dense(lengths_);
  const Choice choice = choice_of(reset, readout, surrogate, height, width, detach_reset);
  check_feedback("current", current, "state", state, weight, leak, threshold, lengths, choice);
  check_steps(current.size(0), substeps, window, choice.readout == Readout::spikes);
  const Shape shape = shape_of(current, leak, lengths, substeps, window);
  at::Tensor out = empty_kept({shape.steps() / window, shape.batch, shape.inner}, current.options());
  at::Tensor membranes = empty_kept({shape.steps() + 1, shape.batch, shape.inner}, current.options());
  membranes.select(0, 0).copy_(state);
  const at::Tensor by_neuron = weight.detach().t().contiguous();
  AT_DISPATCH_FLOATING_TYPES(current.scalar_type(), "lif_recurrent", [&] {
    using S = scalar_t;
    const Feedback<S> feedback(shape, choice, leak, threshold);
    const Rows<S> rows(choice);
    at::parallel_for(0, shape.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b)
        forward_one(feedback, rows, b, current.const_data_ptr<S>(), by_neuron.const_data_ptr<S>(),
                    membranes.data_ptr<S>(), out.data_ptr<S>());
    });
  });
  return {out, membranes.select(0, shape.steps()).clone(), membranes};
}

// What travels backwards for sequences [begin, end); per neuron of each.
template <typename S>
struct Adjoints {
  int64_t begin, end;
  std::vector<S> membrane, spike, leak, threshold, slopes, grad_spike;
  Adjoints(int64_t begin, int64_t end, int64_t n, const S* grad_final)
      : begin(begin), end(end), membrane(grad_final + begin * n, grad_final + end * n),
        spike(membrane.size(), S(0)), leak(spike), threshold(spike), slopes(n), grad_spike(n) {}
};

// Sub-step t backwards for one sequence; `by_current` (H,) becomes the gradient of I[t]. `fed_back` is that of o[t]
// through the feedback.
template <typename S>
void backward_one(const Feedback<S>& f, const Rows<S>& rows, int64_t t, int64_t b, const S* grad_out,
                  const S* membranes, const S* fed_back, Adjoints<S>& carried, S* by_current) {
  const int64_t n = f.shape.inner, o = (b - carried.begin) * n;
  const bool window_ends = (t + 1) % f.shape.window == 0;
  const S *u = membranes + f.at(t, b), *next = membranes + f.at(t + 1, b);
  const S *g = grad_out + f.at(t / f.shape.window, b);
  std::fill_n(by_current, n, S(0));
  for (int64_t j = 0; j < n; ++j) {
    S by_spike = fed_back[j];
    if (f.choice.readout == Readout::spikes) by_spike += g[j];
    if (f.choice.readout == Readout::rate) by_spike += g[j] / S(f.shape.window);
    carried.grad_spike[j] = by_spike;
  }
  if (f.choice.readout == Readout::membrane && window_ends)
    for (int64_t j = 0; j < n; ++j) carried.membrane[o + j] += g[j];
  const auto scale = f.choice.template scale<S>();
  rows.slope(n, next, f.inverse_threshold.data(), scale, nullptr, 0, carried.slopes.data());
  rows.adjoint(n, next, u, carried.slopes.data(), carried.grad_spike.data(), f.leak.data(), f.threshold.data(),
               f.inverse_threshold.data(), f.choice.detach_reset ? S(0) : S(1), &carried.membrane[o],
               &carried.spike[o], &carried.leak[o], &carried.threshold[o], by_current);
}

FeedbackGradients lif_recurrent_backward(
    const at::Tensor& grad_out_, const at::Tensor& grad_final_, const at::Tensor& membranes_,
    const at::Tensor& weight_, const at::Tensor& leak_, const at::Tensor& threshold_,
    const std::optional<at::Tensor>& lengths_, int64_t substeps, int64_t window, std::string_view reset,
    std::string_view readout, std::string_view surrogate, double height, double width, bool detach_reset) {
  const at::Tensor grad_out = dense(grad_out_), grad_final = dense(grad_final_), membranes = dense(membranes_),
                   weight = dense(weight_.detach()), leak = dense(leak_), threshold = dense(threshold_);
  const auto lengths = dense(lengths_);
  const Choice choice = choice_of(reset, readout, surrogate, height, width, detach_reset);
  const Checks check =
      check_feedback("membranes", membranes, "grad_final", grad_final, weight, leak, threshold, lengths, choice);
  const int64_t given =
      check_feedback_backward(check, membranes, grad_out, substeps, window, choice.readout == Readout::spikes);
  const int64_t steps = given * substeps, batch = membranes.size(1), n = membranes.size(2);
  Shape shape = shape_of(membranes, leak, lengths, substeps, window);
  shape.rows = given;
  const auto options = membranes.options();
  at::Tensor by_current = empty_kept({steps, batch, n}, options);  // of every sub-step
  at::Tensor grad_state = at::empty({batch, n}, options), by_leak = at::empty({batch, n}, options),
             by_threshold = at::empty({batch, n}, options);
  AT_DISPATCH_FLOATING_TYPES(membranes.scalar_type(), "lif_recurrent_backward", [&] {
    using S = scalar_t;
    const Feedback<S> feedback(shape, choice, leak, threshold);
    const Rows<S> rows(choice);
    const S* u = membranes.const_data_ptr<S>();
    const int64_t share = (batch + at::get_num_threads() - 1) / at::get_num_threads();
    at::parallel_for(0, batch, share, [&](int64_t begin, int64_t end) {
      Adjoints<S> carried(begin, end, n, grad_final.const_data_ptr<S>());
      at::Tensor fed_back = at::zeros({end - begin, n}, options);
      S* back = fed_back.data_ptr<S>();
      for (int64_t t = steps - 1; t >= 0; --t) {
        at::Tensor row = by_current.select(0, t).narrow(0, begin, end - begin);
        for (int64_t b = begin; b < end; ++b) {
          S* g = row.data_ptr<S>() + (b - begin) * n;
          if (t >= feedback.steps(b)) std::fill_n(g, n, S(0));
          else backward_one(feedback, rows, t, b, grad_out.const_data_ptr<S>(), u, back + (b - begin) * n, carried, g);
        }
        at::mm_out(fed_back, row, weight);
      }
      for (int64_t b = begin; b < end; ++b) {  // the spike that follows from the supplied state itself
        const int64_t o = (b - begin) * n;
        const auto scale = choice.template scale<S>();
        rows.slope(n, u + b * n, feedback.inverse_threshold.data(), scale, nullptr, 0, carried.slopes.data());
        for (int64_t j = 0; j < n; ++j) {
          Adjoint<S> a{carried.membrane[o + j], carried.spike[o + j] + back[o + j], carried.leak[o + j],
                       carried.threshold[o + j]};
          spike_adjoint(u[b * n + j], carried.slopes[j], feedback.inverse_threshold[j], a);
          grad_state.data_ptr<S>()[b * n + j] = a.membrane;
          by_leak.data_ptr<S>()[b * n + j] = a.leak;
          by_threshold.data_ptr<S>()[b * n + j] = a.threshold;
        }
      }
    });
  });
  return feedback_gradients(by_current, grad_state, by_leak, by_threshold, membranes, threshold, substeps);
}

}  // namespace

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) {
  m.impl("lif_recurrent", &lif_recurrent);
  m.impl("lif_recurrent_backward", &lif_recurrent_backward);
}

}  // namespace spikeseq
