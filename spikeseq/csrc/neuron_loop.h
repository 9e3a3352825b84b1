// One neuron over all of time, forward and backward: what a CUDA thread runs. It is plain C++ too, so
// the test suite runs the very same loops on a CPU.
#pragma once

#include "problem.h"

namespace spikeseq {

template <typename S>
struct NeuronState {
  S membrane, f, n;  // f and n: the memory of the surrogate, unused by most
};

template <typename S>
SPIKESEQ_HD NeuronState<S> load(const S* planes, int count, int64_t stride, int64_t neuron) {
  return {planes[neuron], count > 1 ? planes[stride + neuron] : S(0),
          count > 2 ? planes[2 * stride + neuron] : S(0)};
}

template <typename S>
SPIKESEQ_HD void store(const NeuronState<S>& s, S* planes, int count, int64_t stride, int64_t neuron) {
  planes[neuron] = s.membrane;
  if (count > 1) planes[stride + neuron] = s.f;
  if (count > 2) planes[2 * stride + neuron] = s.n;
}

// One sub-step: the membrane, then the surrogate's memory of the spike that follows.
template <Reset R, typename S>
SPIKESEQ_HD void advance(NeuronState<S>& s, Surrogate kind, S current, S leak, S threshold,
                         const SurrogateScale<S>& scale) {
  s.membrane = update<R>(s.membrane, current, leak, threshold);
  remember(kind, fires(s.membrane, threshold), scale, s.f, s.n);
}

// Where sub-step t stands among the rows that last `size` sub-steps each; counted on, as division is slow on a GPU.
struct Row {
  int64_t index, left, size;  // left: sub-steps of the row from t on
  SPIKESEQ_HD Row(int64_t t, int64_t size) : index(t / size), left(size - t % size), size(size) {}
  SPIKESEQ_HD bool begins() const { return left == size; }
  SPIKESEQ_HD bool ends() const { return left == 1; }
  SPIKESEQ_HD void forth() {
    if (--left == 0) { ++index; left = size; }
  }
  SPIKESEQ_HD void back() {
    if (left++ == size) { --index; left = 1; }
  }
};

#ifdef __CUDACC__
#define SPIKESEQ_UNROLL _Pragma("unroll")
#else
#define SPIKESEQ_UNROLL
#endif

// Both loops go interval by interval. All that a thread reads in one is asked for before any of it is used or
// anything is written, so that many reads are under way at once; fixed trip counts keep the arrays in registers.

template <Reset R, typename In, typename S>
SPIKESEQ_HD void forward_neuron(const Shape& shape, const Choice& choice, const Forward<In, S>& f,
                                int64_t neuron) {
  const int planes = 1 + memory_planes(choice.surrogate);
  const int64_t stride = shape.neurons(), steps = shape.steps_of(neuron), c = shape.channel(neuron);
  const S leak = f.leak[c], threshold = f.threshold[c];
  const auto scale = choice.template scale<S>();
  NeuronState<S> s = load(f.state, planes, stride, neuron);
  S count = 0;
  Row row(0, shape.substeps), out_row(0, shape.window);
  for (int64_t start = 0; start < shape.steps(); start += kInterval) {
    S currents[kInterval];
    SPIKESEQ_UNROLL
    for (int i = 0; i < kInterval; ++i) {
      currents[i] = start + i < steps ? S(f.current[row.index * stride + neuron]) : S(0);
      row.forth();
    }
    if (start < steps) store(s, f.checkpoints + start / kInterval * planes * stride, planes, stride, neuron);
    SPIKESEQ_UNROLL
    for (int i = 0; i < kInterval; ++i) {
      if (start + i >= shape.steps()) continue;
      const bool alive = start + i < steps;
      if (alive) {
        advance<R>(s, choice.surrogate, currents[i], leak, threshold, scale);
        count += fires(s.membrane, threshold) ? S(1) : S(0);
      }
      if (out_row.ends()) {
        S out = count / S(shape.window);
        if (choice.readout == Readout::spikes) out = alive && fires(s.membrane, threshold) ? S(1) : S(0);
        if (choice.readout == Readout::membrane) out = alive ? s.membrane : S(0);
        f.out[out_row.index * stride + neuron] = In(out);
        count = 0;
      }
      out_row.forth();
    }
  }
  store(s, f.final_state, planes, stride, neuron);
}

template <Reset R, typename In, typename S>
SPIKESEQ_HD void backward_neuron(const Shape& shape, const Choice& choice, const Backward<In, S>& b,
                                 int64_t neuron) {
  const int planes = 1 + memory_planes(choice.surrogate);
  const int64_t stride = shape.neurons(), steps = shape.steps_of(neuron), c = shape.channel(neuron);
  const S leak = b.leak[c], threshold = b.threshold[c], inverse_threshold = S(1) / threshold;
  const S keep_reset = choice.detach_reset ? S(0) : S(1);
  const auto scale = choice.template scale<S>();
  Adjoint<S> a{b.grad_final[neuron], S(0), S(0), S(0)};
  S grad_current = 0;

  for (int64_t row = (steps + shape.substeps - 1) / shape.substeps; row < shape.rows; ++row)
    b.grad_current[row * stride + neuron] = In(S(0));

  for (int64_t stop = steps; stop > 0;) {
    const int64_t start = (stop - 1) / kInterval * kInterval;
    Row row(start, shape.substeps), out_row(start, shape.window);
    S currents[kInterval], grads[kInterval];
    SPIKESEQ_UNROLL
    for (int i = 0; i < kInterval; ++i) {
      const bool inside = start + i < stop;
      currents[i] = inside ? S(b.current[row.index * stride + neuron]) : S(0);
      grads[i] = inside ? S(b.grad_out[out_row.index * stride + neuron]) : S(0);
      row.forth();
      out_row.forth();
    }
    S u[kInterval + 1], slopes[kInterval];
    NeuronState<S> s = load(b.checkpoints + start / kInterval * planes * stride, planes, stride, neuron);
    u[0] = s.membrane;
    SPIKESEQ_UNROLL
    for (int i = 0; i < kInterval; ++i) {
      slopes[i] = 0;
      if (start + i < stop) {
        advance<R>(s, choice.surrogate, currents[i], leak, threshold, scale);
        slopes[i] = slope(choice.surrogate, s.membrane, inverse_threshold, scale, s.f, s.n);
      }
      u[i + 1] = s.membrane;
    }
    SPIKESEQ_UNROLL
    for (int i = kInterval - 1; i >= 0; --i) {
      row.back();
      out_row.back();
      if (start + i >= stop) continue;
      if (choice.readout == Readout::spikes) a.spike += grads[i];
      if (choice.readout == Readout::rate) a.spike += grads[i] / S(shape.window);
      if (choice.readout == Readout::membrane && out_row.ends()) a.membrane += grads[i];
      grad_current += update_adjoint<R>(u[i + 1], u[i], slopes[i], leak, threshold, inverse_threshold,
                                        keep_reset, a);
      if (row.begins()) {
        b.grad_current[row.index * stride + neuron] = In(grad_current);
        grad_current = 0;
      }
    }
    stop = start;
  }

  const NeuronState<S> s = load(steps > 0 ? b.checkpoints : b.final_state, planes, stride, neuron);
  spike_adjoint(s.membrane, slope(choice.surrogate, s.membrane, inverse_threshold, scale, s.f, s.n), inverse_threshold, a);
  b.grad_state[neuron] = a.membrane;
  for (int p = 1; p < planes; ++p) b.grad_state[p * stride + neuron] = 0;
  b.grad_leak[neuron] = a.leak;
  b.grad_threshold[neuron] = a.threshold;
}

// Calls work.run<R>() for the reset chosen at run time.
template <typename Work>
auto with_reset(Reset reset, const Work& work) {
  switch (reset) {
    case Reset::soft: return work.template run<Reset::soft>();
    case Reset::soft_immediate: return work.template run<Reset::soft_immediate>();
    default: return work.template run<Reset::hard>();
  }
}

}  // namespace spikeseq
