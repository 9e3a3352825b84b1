// What one call of the LIF op works on. Plain pointers, so that CPU and CUDA code share it and the
// .cu file needs no torch header. All arrays are contiguous.
#pragma once

#include "neuron.h"

namespace spikeseq {

// Sub-steps between two saved membranes. The backward pass recomputes what lies between from the
// current, so a larger interval saves memory and a smaller one keeps the recomputed block in cache.
constexpr int kInterval = 16;

struct Shape {
  int64_t rows;      // rows of current, L
  int64_t batch;     // B
  int64_t inner;     // neurons per batch entry
  int64_t channels;  // thresholds, and leaks without rows: 1, or a divisor of inner
  int64_t substeps;  // sub-steps that each row of current lasts
  int64_t window;    // sub-steps that each row of output covers
  const int64_t* lengths;  // (B,) rows of current that count, or null
  bool leak_rows = false;  // each row of current has leaks of its own, (L, N)

  SPIKESEQ_HD int64_t neurons() const { return batch * inner; }
  SPIKESEQ_HD int64_t steps() const { return rows * substeps; }
  SPIKESEQ_HD int64_t checkpoints() const { return (steps() + kInterval - 1) / kInterval; }
  SPIKESEQ_HD int64_t channel(int64_t neuron) const { return neuron % inner / (inner / channels); }
  SPIKESEQ_HD int64_t steps_of(int64_t neuron) const {
    if (!lengths) return steps();
    const int64_t n = lengths[neuron / inner];  // a GPU cannot raise: a wrong length stays inside the arrays
    return (n < 0 ? 0 : n > rows ? rows : n) * substeps;
  }
};

struct Choice {
  Reset reset;
  Readout readout;
  Surrogate surrogate;
  double height, inverse_width, decay;  // see SurrogateScale; computed once, on the host
  bool detach_reset;
  bool norm_input = false;  // currents are weighted by (1 - leak)

  template <typename S>
  SPIKESEQ_HD SurrogateScale<S> scale() const {
    return {S(height), S(inverse_width), S(decay)};
  }
};

// N = B * inner neurons; P = 1 + memory_planes(surrogate) values per neuron, the membrane first.
template <typename In, typename S>
struct Forward {
  const In* current;    // (L, N)
  const S* state;       // (P, N)
  const S* leak;        // (channels,), or (L, N) if leak_rows
  const S* threshold;   // (channels,)
  In* out;              // (L * substeps / window, N)
  S* final_state;       // (P, N)
  S* checkpoints;       // (ceil(L * substeps / kInterval), P, N) in one row; rows past every length stay unwritten
};

template <typename In, typename S>
struct Backward {
  const In* grad_out;     // as out
  const S* grad_final;    // (P, N); only the membrane's part is read
  const In* current;
  const S* checkpoints;
  const S* final_state;   // (P, N), read where a sequence has no sub-step at all
  const S* leak;
  const S* threshold;
  In* grad_current;       // (L, N)
  S* grad_state;          // (P, N); the memory's part is zero
  S* grad_leak;           // (N,): per neuron, summed over channels by the caller; (L, N) if leak_rows
  S* grad_threshold;      // (N,)
};

}  // namespace spikeseq
