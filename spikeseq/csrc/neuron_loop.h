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

// Where a sub-step stands among the rows that last `size` sub-steps each, `stride` values apart; counted on, as division
// and wide multiplication are slow on a GPU.
struct Row {
  int64_t at, stride;  // at: of the row's value
  int32_t left, size;  // left: sub-steps of the row from here on
  SPIKESEQ_HD Row(int64_t t, int64_t size, int64_t stride = 1, int64_t first = 0)
      : at(first + t / size * stride), stride(stride), left(int32_t(size - t % size)), size(int32_t(size)) {}
  SPIKESEQ_HD bool begins() const { return left == size; }
  SPIKESEQ_HD bool ends() const { return left == 1; }
  SPIKESEQ_HD void forth() {
    if (--left == 0) { at += stride; left = size; }
  }
  SPIKESEQ_HD void back() {
    if (left++ == size) { at -= stride; left = 1; }
  }
};

#ifdef __CUDACC__
#define SPIKESEQ_UNROLL _Pragma("unroll")
#else
#define SPIKESEQ_UNROLL
#endif

// Sub-steps of the interval from `start` that lie before `stop`.
SPIKESEQ_HD int within(int64_t start, int64_t stop) {
  return stop - start >= kInterval ? kInterval : stop > start ? int(stop - start) : 0;
}

// Both loops go interval by interval. All that a thread reads in one is asked for before any of it is used or
// anything is written, so that many reads are under way at once; fixed trip counts keep the arrays in registers. What
// is the same for all threads is decided outside of the sub-steps or by a branch; what is not, by a choice of values.

// The leaks of an interval's sub-steps: one for all of them, or one for each, read as the currents are.
template <bool kLeakRows, typename S>
struct Leaks {
  S one;
  SPIKESEQ_HD void read(int, bool, const S*) {}
  SPIKESEQ_HD S at(int) const { return one; }
};
template <typename S>
struct Leaks<true, S> {
  S each[kInterval];
  SPIKESEQ_HD void read(int i, bool there, const S* from) { each[i] = there ? *from : S(0); }
  SPIKESEQ_HD S at(int i) const { return each[i]; }
};
template <bool kLeakRows, typename S>
SPIKESEQ_HD Leaks<kLeakRows, S> leaks_from(const S* leak, int64_t channel) {
  if constexpr (kLeakRows) return {};
  else return {leak[channel]};
}

template <bool kLeakRows, typename S>
SPIKESEQ_HD void weigh(S (&currents)[kInterval], const Leaks<kLeakRows, S>& leaks) {
  SPIKESEQ_UNROLL
  for (int i = 0; i < kInterval; ++i) currents[i] = weighted(currents[i], leaks.at(i));
}

template <Reset R, bool kLeakRows, typename In, typename S>
SPIKESEQ_HD void forward_neuron(const Shape& shape, const Choice& choice, const Forward<In, S>& f,
                                int64_t neuron) {
  const int planes = 1 + memory_planes(choice.surrogate);
  const int64_t stride = shape.neurons(), steps = shape.steps_of(neuron), c = shape.channel(neuron);
  const S threshold = f.threshold[c];
  auto leaks = leaks_from<kLeakRows>(f.leak, c);
  const auto scale = choice.template scale<S>();
  NeuronState<S> s = load(f.state, planes, stride, neuron);
  S count = 0;
  Row row(0, shape.substeps, stride, neuron), out_row(0, shape.window, stride, neuron);
  S* checkpoint = f.checkpoints;
  for (int64_t start = 0; start < shape.steps(); start += kInterval) {
    const int alive = within(start, steps), all = within(start, shape.steps());
    S currents[kInterval];
    SPIKESEQ_UNROLL
    for (int i = 0; i < kInterval; ++i) {
      currents[i] = i < alive ? S(f.current[row.at]) : S(0);
      leaks.read(i, i < alive, f.leak + row.at);
      row.forth();
    }
    if (choice.norm_input) weigh(currents, leaks);
    if (alive > 0) store(s, checkpoint, planes, stride, neuron);
    checkpoint += planes * stride;
    SPIKESEQ_UNROLL
    for (int i = 0; i < kInterval; ++i) {
      if (i == all) break;
      const S u = update<R>(s.membrane, currents[i], leaks.at(i), threshold);
      s.membrane = i < alive ? u : s.membrane;
      const bool fired = i < alive && fires(u, threshold);
      if (planes > 1 && i < alive) remember(choice.surrogate, fired, scale, s.f, s.n);
      count += fired ? S(1) : S(0);
      if (out_row.ends()) {
        S out = fired ? S(1) : S(0);
        if (choice.readout == Readout::rate) out = count / S(shape.window);
        if (choice.readout == Readout::membrane) out = i < alive ? u : S(0);
        f.out[out_row.at] = In(out);
        count = 0;
      }
      out_row.forth();
    }
  }
  store(s, f.final_state, planes, stride, neuron);
}

// The membranes of an interval again, u[0] before its first sub-step, and the slopes that belong to them.
template <Reset R, Surrogate K, bool kLeakRows, typename S>
SPIKESEQ_HD void follow_again(NeuronState<S> s, const Leaks<kLeakRows, S>& leaks, S threshold, S inverse_threshold,
                              const SurrogateScale<S>& scale, const S (&currents)[kInterval], S (&u)[kInterval + 1],
                              S (&slopes)[kInterval]) {
  u[0] = s.membrane;
  SPIKESEQ_UNROLL
  for (int i = 0; i < kInterval; ++i) {
    u[i + 1] = update<R>(u[i], currents[i], leaks.at(i), threshold);
    remember<K>(fires(u[i + 1], threshold), scale, s.f, s.n);
    slopes[i] = slope<K>(u[i + 1], inverse_threshold, scale, s.f, s.n);
  }
}

template <Reset R, bool kLeakRows, typename In, typename S>
SPIKESEQ_HD void backward_neuron(const Shape& shape, const Choice& choice, const Backward<In, S>& b,
                                 int64_t neuron) {
  const int planes = 1 + memory_planes(choice.surrogate);
  const int64_t stride = shape.neurons(), steps = shape.steps_of(neuron), c = shape.channel(neuron);
  const S threshold = b.threshold[c], inverse_threshold = S(1) / threshold;
  auto leaks = leaks_from<kLeakRows>(b.leak, c);
  const S keep_reset = choice.detach_reset ? S(0) : S(1);
  const S share = choice.readout == Readout::rate ? S(1) / S(shape.window) : S(1);  // of grad_out, for each spike
  const auto scale = choice.template scale<S>();
  Adjoint<S> a{b.grad_final[neuron], S(0), S(0), S(0)};
  S grad_current = 0;

  for (int64_t row = (steps + shape.substeps - 1) / shape.substeps; row < shape.rows; ++row) {
    b.grad_current[row * stride + neuron] = In(S(0));
    if (kLeakRows) b.grad_leak[row * stride + neuron] = 0;
  }

  for (int64_t stop = steps; stop > 0;) {
    const int64_t start = (stop - 1) / kInterval * kInterval;
    const int count = int(stop - start);
    Row row(start, shape.substeps, stride, neuron), out_row(start, shape.window, stride, neuron);
    S currents[kInterval], grads[kInterval], u[kInterval + 1], slopes[kInterval];
    SPIKESEQ_UNROLL
    for (int i = 0; i < kInterval; ++i) {
      currents[i] = i < count ? S(b.current[row.at]) : S(0);
      leaks.read(i, i < count, b.leak + row.at);
      grads[i] = i < count ? S(b.grad_out[out_row.at]) : S(0);
      row.forth();
      out_row.forth();
    }
    if (choice.norm_input) weigh(currents, leaks);
    const S* checkpoint = b.checkpoints + start / kInterval * planes * stride;
    const NeuronState<S> before = load(checkpoint, planes, stride, neuron);
    pick(choice.surrogate, [&](auto k) {
      follow_again<R, decltype(k)::value>(before, leaks, threshold, inverse_threshold, scale, currents, u, slopes);
    });
    SPIKESEQ_UNROLL
    for (int i = kInterval - 1; i >= 0; --i) {
      row.back();
      out_row.back();
      if (i >= count) continue;
      if (choice.readout != Readout::membrane) a.spike += share * grads[i];
      else if (out_row.ends()) a.membrane += grads[i];
      grad_current += update_adjoint<R>(u[i + 1], u[i], slopes[i], leaks.at(i), threshold, inverse_threshold,
                                        keep_reset, a);
      if (row.begins()) {
        if (choice.norm_input) a.leak += weighted_adjoint(S(b.current[row.at]), leaks.at(i), grad_current);
        b.grad_current[row.at] = In(grad_current);
        grad_current = 0;
        if (kLeakRows) {
          b.grad_leak[row.at] = a.leak;
          a.leak = 0;
        }
      }
    }
    stop = start;
  }

  const NeuronState<S> s = load(steps > 0 ? b.checkpoints : b.final_state, planes, stride, neuron);
  spike_adjoint(s.membrane, slope(choice.surrogate, s.membrane, inverse_threshold, scale, s.f, s.n), inverse_threshold, a);
  b.grad_state[neuron] = a.membrane;
  for (int p = 1; p < planes; ++p) b.grad_state[p * stride + neuron] = 0;
  if (!kLeakRows) b.grad_leak[neuron] = a.leak;
  b.grad_threshold[neuron] = a.threshold;
}

}  // namespace spikeseq
