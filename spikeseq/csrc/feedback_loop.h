// One sequence of a layer with feedback over all of time, I[t] = current[t] + W o[t-1]: what a block of CUDA threads
// runs together, a neuron or more a thread. It is plain C++ too, run by one thread, so that the test suite runs the
// very same loops on a CPU.
#pragma once

#include "neuron_loop.h"

#ifdef __CUDACC__
#define SPIKESEQ_DEVICE __device__
#else
#define SPIKESEQ_DEVICE inline
#endif

namespace spikeseq {

// n neurons a sequence; membranes are before the first sub-step, and after each.
template <typename S>
struct FeedbackForward {
  const S* current;    // (L, B, n)
  const S* weight;     // (n, n), a row for the neuron that fired
  const S* leak;       // (channels,), 1 or n
  const S* threshold;  // (channels,)
  S* membranes;        // (L * substeps + 1, B, n), of which the first row is given
  S* out;              // (L * substeps / window, B, n)
};

template <typename S>
struct FeedbackBackward {
  const S* grad_out;
  const S* grad_final;  // (B, n)
  const S* membranes;
  const S* weight;      // (n, n), a row for the neuron that hears
  const S* leak;
  const S* threshold;
  S* by_current;        // (L * substeps, B, n): the gradient of I[t]
  S* grad_state;        // (B, n)
  S* grad_leak;         // (B, n)
  S* grad_threshold;    // (B, n)
};

// Rows of memory that are asked for before any of them is used, so that reads are under way together.
constexpr int kAhead = 4;

inline int64_t spike_words(int64_t n) { return (n + 31) / 32; }
// Scratch of a sequence in bytes, shared by the threads that run it.
template <typename S>
int64_t forward_scratch(int64_t n) { return (2 + kAhead) * n * int64_t(sizeof(S)) + 2 * spike_words(n) * 4; }
template <typename S>
int64_t backward_scratch(int64_t n) { return (7 + 2 * kAhead) * n * int64_t(sizeof(S)); }

// A team of one. `each` calls f(j) for neurons j < n, which a team of many deals out, always to the same members; `vote`
// writes bit j of `words` by f(j); behind `sync`, all see what any has written.
struct Alone {
  template <typename F>
  void each(int64_t n, const F& f) const {
    for (int64_t j = 0; j < n; ++j) f(j);
  }
  template <typename F>
  void vote(int64_t n, uint32_t* words, const F& f) const {
    for (int64_t w = 0; w < (n + 31) / 32; ++w) words[w] = 0;
    for (int64_t j = 0; j < n; ++j) words[j / 32] |= uint32_t(f(j)) << (j % 32);
  }
  void sync() const {}
};

SPIKESEQ_DEVICE int lowest_bit(uint32_t word) {
#ifdef __CUDA_ARCH__
  return __ffs(int(word)) - 1;
#else
  return __builtin_ctz(word);
#endif
}

// Sum of the rows of `weight` whose neuron fired, for neuron j.
template <typename S>
SPIKESEQ_DEVICE S heard(int64_t n, const uint32_t* words, const S* weight, int64_t j) {
  S sum = 0;
  for (int64_t w = 0; w * 32 < n; ++w)
    for (uint32_t left = words[w]; left; left &= left - 1) sum += weight[(w * 32 + lowest_bit(left)) * n + j];
  return sum;
}

// Column j of `weight` times `values`; four sums, as one would wait for each addition.
template <typename S>
SPIKESEQ_DEVICE S column_product(int64_t n, const S* values, const S* weight, int64_t j) {
  S sums[4] = {0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    SPIKESEQ_UNROLL
    for (int k = 0; k < 4; ++k) sums[k] += values[i + k] * weight[(i + k) * n + j];
  }
  for (; i < n; ++i) sums[0] += values[i] * weight[i * n + j];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Sequence b. `weight` is f.weight, or a copy of it on the chip.
template <Reset R, typename Team, typename S>
SPIKESEQ_DEVICE void forward_sequence(const Team& team, const Shape& shape, const Choice& choice,
                                      const FeedbackForward<S>& f, int64_t b, const S* weight, S* scratch) {
  const int64_t n = shape.inner, size = shape.batch * n, first = b * n, steps = shape.steps_of(first);
  const int64_t words = (n + 31) / 32;
  const bool layer = shape.channels == 1;  // one leak and threshold for all
  S *u = scratch, *count = u + n, *currents = count + n;
  uint32_t* spikes = reinterpret_cast<uint32_t*>(currents + kAhead * n);
  team.each(n, [&](int64_t j) {
    u[j] = f.membranes[first + j];
    count[j] = 0;
  });
  Row row(0, shape.substeps), out_row(0, shape.window);
  for (int64_t t = 0; t < shape.steps(); ++t) {
    const bool alive = t < steps;
    const int64_t slot = row.at % kAhead;
    if (alive && slot == 0 && row.begins())
      team.each(n, [&](int64_t j) {
        S ahead[kAhead];
        SPIKESEQ_UNROLL
        for (int i = 0; i < kAhead; ++i)
          ahead[i] = row.at + i < shape.rows ? f.current[(row.at + i) * size + first + j] : S(0);
        SPIKESEQ_UNROLL
        for (int i = 0; i < kAhead; ++i) currents[i * n + j] = ahead[i];
      });
    uint32_t* fired = spikes + t % 2 * words;  // two in turn: some may still read the last ones
    if (alive) {
      team.vote(n, fired, [&](int64_t j) { return fires(u[j], f.threshold[layer ? 0 : j]); });
      team.sync();
    }
    team.each(n, [&](int64_t j) {
      const S threshold = f.threshold[layer ? 0 : j];
      if (alive) {
        u[j] = update<R>(u[j], currents[slot * n + j] + heard(n, fired, weight, j), f.leak[layer ? 0 : j], threshold);
        count[j] += fires(u[j], threshold) ? S(1) : S(0);
      }
      f.membranes[(t + 1) * size + first + j] = u[j];
      if (!out_row.ends()) return;
      S out = count[j] / S(shape.window);
      if (choice.readout == Readout::spikes) out = alive && fires(u[j], threshold) ? S(1) : S(0);
      if (choice.readout == Readout::membrane) out = alive ? u[j] : S(0);
      f.out[out_row.at * size + first + j] = out;
      count[j] = 0;
    });
    row.forth();
    out_row.forth();
  }
}

template <Reset R, typename Team, typename S>
SPIKESEQ_DEVICE void backward_sequence(const Team& team, const Shape& shape, const Choice& choice,
                                       const FeedbackBackward<S>& f, int64_t b, const S* weight, S* scratch) {
  const int64_t n = shape.inner, size = shape.batch * n, first = b * n, steps = shape.steps_of(first);
  const bool layer = shape.channels == 1;
  const S keep_reset = choice.detach_reset ? S(0) : S(1);
  const auto scale = choice.template scale<S>();
  S *membrane = scratch, *spike = membrane + n, *leaks = spike + n, *thresholds = leaks + n, *next = thresholds + n;
  S *grads = next + n, *membranes = grads + 2 * n, *outs = membranes + kAhead * n;
  team.each(n, [&](int64_t j) {
    membrane[j] = f.grad_final[first + j];
    spike[j] = leaks[j] = thresholds[j] = grads[j] = grads[n + j] = 0;
    next[j] = f.membranes[steps * size + first + j];
    for (int64_t t = steps; t < shape.steps(); ++t) f.by_current[t * size + first + j] = 0;
  });
  team.sync();
  Row out_row(steps > 0 ? steps - 1 : 0, shape.window);
  for (int64_t t = steps - 1; t >= 0; --t) {
    const int64_t slot = (steps - 1 - t) % kAhead;
    if (slot == 0)
      team.each(n, [&](int64_t j) {
        S ahead[2 * kAhead];
        Row ahead_row = out_row;
        SPIKESEQ_UNROLL
        for (int i = 0; i < kAhead; ++i) {
          ahead[i] = t >= i ? f.membranes[(t - i) * size + first + j] : S(0);
          ahead[kAhead + i] = t >= i ? f.grad_out[ahead_row.at * size + first + j] : S(0);
          ahead_row.back();
        }
        SPIKESEQ_UNROLL
        for (int i = 0; i < kAhead; ++i) {
          membranes[i * n + j] = ahead[i];
          outs[i * n + j] = ahead[kAhead + i];
        }
      });
    const S* after = grads + (t + 1) % 2 * n;  // the gradient of I[t+1], which o[t] is part of
    S* now = grads + t % 2 * n;
    team.each(n, [&](int64_t j) {
      const S leak = f.leak[layer ? 0 : j], threshold = f.threshold[layer ? 0 : j], inverse = S(1) / threshold;
      const S grad = outs[slot * n + j], u = membranes[slot * n + j];
      Adjoint<S> a{membrane[j], spike[j] + column_product(n, after, weight, j), leaks[j], thresholds[j]};
      if (choice.readout == Readout::spikes) a.spike += grad;
      if (choice.readout == Readout::rate) a.spike += grad / S(shape.window);
      if (choice.readout == Readout::membrane && out_row.ends()) a.membrane += grad;
      now[j] = update_adjoint<R>(next[j], u, slope(choice.surrogate, next[j], inverse, scale, S(0), S(0)), leak,
                                 threshold, inverse, keep_reset, a);
      f.by_current[t * size + first + j] = now[j];
      membrane[j] = a.membrane;
      spike[j] = a.spike;
      leaks[j] = a.leak;
      thresholds[j] = a.threshold;
      next[j] = u;
    });
    team.sync();
    out_row.back();
  }
  team.each(n, [&](int64_t j) {  // the spike that follows from the state that was given
    const S inverse = S(1) / f.threshold[layer ? 0 : j];
    Adjoint<S> a{membrane[j], spike[j] + column_product(n, grads, weight, j), leaks[j], thresholds[j]};
    spike_adjoint(next[j], slope(choice.surrogate, next[j], inverse, scale, S(0), S(0)), inverse, a);
    f.grad_state[first + j] = a.membrane;
    f.grad_leak[first + j] = a.leak;
    f.grad_threshold[first + j] = a.threshold;
  });
}

}  // namespace spikeseq
