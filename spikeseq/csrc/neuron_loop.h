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
          count > 1 ? planes[2 * stride + neuron] : S(0)};
}

template <typename S>
SPIKESEQ_HD void store(const NeuronState<S>& s, S* planes, int count, int64_t stride, int64_t neuron) {
  planes[neuron] = s.membrane;
  if (count > 1) {
    planes[stride + neuron] = s.f;
    planes[2 * stride + neuron] = s.n;
  }
}

// One sub-step: the membrane, then the surrogate's memory of the spike that follows.
template <Reset R, typename S>
SPIKESEQ_HD void advance(NeuronState<S>& s, Surrogate kind, S current, S leak, S threshold,
                         const SurrogateScale<S>& scale) {
  s.membrane = update<R>(s.membrane, current, leak, threshold);
  remember(kind, fires(s.membrane, threshold), scale, s.f, s.n);
}

template <Reset R, typename In, typename S>
SPIKESEQ_HD void forward_neuron(const Shape& shape, const Choice& choice, const Forward<In, S>& f,
                                int64_t neuron) {
  const int planes = 1 + memory_planes(choice.surrogate);
  const int64_t stride = shape.neurons(), steps = shape.steps_of(neuron), c = shape.channel(neuron);
  const S leak = f.leak[c], threshold = f.threshold[c];
  const auto scale = choice.template scale<S>();
  NeuronState<S> s = load(f.state, planes, stride, neuron);
  S count = 0, current = 0;
  int64_t in_row = 0, in_left = 0, out_row = 0, out_left = shape.window;
  for (int64_t t = 0; t < shape.steps(); ++t) {
    const bool alive = t < steps;
    if (in_left == 0) {
      if (alive) current = S(f.current[in_row * stride + neuron]);
      ++in_row;
      in_left = shape.substeps;
    }
    --in_left;
    if (alive) {
      if (t % kInterval == 0) store(s, f.checkpoints + t / kInterval * planes * stride, planes, stride, neuron);
      advance<R>(s, choice.surrogate, current, leak, threshold, scale);
      count += fires(s.membrane, threshold) ? S(1) : S(0);
    }
    if (--out_left == 0) {
      S out = count / S(shape.window);
      if (choice.readout == Readout::spikes) out = alive && fires(s.membrane, threshold) ? S(1) : S(0);
      if (choice.readout == Readout::membrane) out = alive ? s.membrane : S(0);
      f.out[out_row * stride + neuron] = In(out);
      ++out_row;
      out_left = shape.window;
      count = 0;
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
    // Fixed trip counts keep the two arrays in registers.
    S u[kInterval + 1], slopes[kInterval];
    NeuronState<S> s = load(b.checkpoints + start / kInterval * planes * stride, planes, stride, neuron);
    u[0] = s.membrane;
#ifdef __CUDACC__
#pragma unroll
#endif
    for (int i = 0; i < kInterval; ++i) {
      if (start + i < stop) {
        const S current = S(b.current[(start + i) / shape.substeps * stride + neuron]);
        advance<R>(s, choice.surrogate, current, leak, threshold, scale);
        slopes[i] = slope(choice.surrogate, s.membrane, inverse_threshold, scale, s.f, s.n);
      } else {
        slopes[i] = 0;
      }
      u[i + 1] = s.membrane;
    }
#ifdef __CUDACC__
#pragma unroll
#endif
    for (int i = kInterval - 1; i >= 0; --i) {
      const int64_t t = start + i;
      if (t >= stop) continue;
      const bool window_ends = (t + 1) % shape.window == 0;
      const In* grad_out = b.grad_out + t / shape.window * stride + neuron;
      if (choice.readout == Readout::spikes) a.spike += S(*grad_out);
      if (choice.readout == Readout::rate) a.spike += S(*grad_out) / S(shape.window);
      if (choice.readout == Readout::membrane && window_ends) a.membrane += S(*grad_out);
      grad_current += update_adjoint<R>(u[i + 1], u[i], slopes[i], leak, threshold, inverse_threshold,
                                        keep_reset, a);
      if (t % shape.substeps == 0) {
        b.grad_current[t / shape.substeps * stride + neuron] = In(grad_current);
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
void with_reset(Reset reset, const Work& work) {
  switch (reset) {
    case Reset::soft: return work.template run<Reset::soft>();
    case Reset::soft_immediate: return work.template run<Reset::soft_immediate>();
    case Reset::hard: return work.template run<Reset::hard>();
  }
}

}  // namespace spikeseq
