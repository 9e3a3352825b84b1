// Loops over a row: n neighbouring neurons at one sub-step, which the compiler vectorises. The rules are
// those of neuron.h; the choice of reset and surrogate is made once a call (`Rows`), not once a neuron.
#pragma once

#include <c10/util/BFloat16.h>

#include <type_traits>

#include "../problem.h"

namespace spikeseq {

template <Reset R, typename S>
void update_row(int64_t n, const S* __restrict__ u, const S* __restrict__ current,
                const S* __restrict__ leak, const S* __restrict__ threshold, S* __restrict__ next) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) next[j] = update<R>(u[j], current[j], leak[j], threshold[j]);
}

// `memory`: the first plane of what the surrogate remembers, with the second `stride` behind it; planes that
// the surrogate does not have are not touched.
template <Surrogate K, typename S>
void remember_row(int64_t n, const S* __restrict__ u, const S* __restrict__ threshold,
                  SurrogateScale<S> scale, S* __restrict__ memory, int64_t stride) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    S none(0);
    if constexpr (memory_planes(K) == 2)
      remember<K>(fires(u[j], threshold[j]), scale, memory[j], memory[stride + j]);
    if constexpr (memory_planes(K) == 1) remember<K>(fires(u[j], threshold[j]), scale, memory[j], none);
  }
}

template <Surrogate K, typename S>
void slope_row(int64_t n, const S* __restrict__ u, const S* __restrict__ inverse_threshold,
               SurrogateScale<S> scale, const S* __restrict__ memory, int64_t stride, S* __restrict__ out) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    S first(0), second(0);
    if constexpr (memory_planes(K) > 0) first = memory[j];
    if constexpr (memory_planes(K) > 1) second = memory[stride + j];
    out[j] = slope<K>(u[j], inverse_threshold[j], scale, first, second);
  }
}

template <Reset R, typename S>
void adjoint_row(int64_t n, const S* __restrict__ u, const S* __restrict__ u_previous,
                 const S* __restrict__ slope, const S* __restrict__ grad_spike,
                 const S* __restrict__ leak, const S* __restrict__ threshold,
                 const S* __restrict__ inverse_threshold, S keep_reset, S* __restrict__ a_membrane,
                 S* __restrict__ a_spike, S* __restrict__ a_leak, S* __restrict__ a_threshold,
                 S* __restrict__ grad_current) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    Adjoint<S> a{a_membrane[j], a_spike[j] + grad_spike[j], a_leak[j], a_threshold[j]};
    grad_current[j] += update_adjoint<R>(u[j], u_previous[j], slope[j], leak[j], threshold[j],
                                         inverse_threshold[j], keep_reset, a);
    a_membrane[j] = a.membrane;
    a_spike[j] = a.spike;
    a_leak[j] = a.leak;
    a_threshold[j] = a.threshold;
  }
}

// norm_input, of a row of currents (`to` may be the row itself), and of its gradients.
template <typename S>
void weigh_row(int64_t n, const S* current, const S* leak, S* to) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) to[j] = weighted(current[j], leak[j]);
}

template <typename S>
void weigh_adjoint_row(int64_t n, const S* __restrict__ current, const S* __restrict__ leak, S* __restrict__ grad_current,
                       S* __restrict__ grad_leak) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) grad_leak[j] += weighted_adjoint(current[j], leak[j], grad_current[j]);
}

template <typename S>
struct Rows {
  decltype(&update_row<Reset::soft, S>) update;
  decltype(&adjoint_row<Reset::soft, S>) adjoint;
  decltype(&remember_row<Surrogate::sigmoid, S>) remember;
  decltype(&slope_row<Surrogate::sigmoid, S>) slope;

  explicit Rows(const Choice& c) {
    pick(c.reset, [&](auto reset) {
      update = update_row<decltype(reset)::value, S>;
      adjoint = adjoint_row<decltype(reset)::value, S>;
    });
    pick(c.surrogate, [&](auto surrogate) {
      remember = remember_row<decltype(surrogate)::value, S>;
      slope = slope_row<decltype(surrogate)::value, S>;
    });
  }
};

// From the type of the arithmetic to that of storage. bfloat16 by its bits, to the same values as its own
// conversion, whose branch keeps a loop from being vectorised; so does copying a class that holds them.
template <typename In, typename S>
SPIKESEQ_HD void put(In& to, S x) { to = static_cast<In>(x); }
SPIKESEQ_HD void put(c10::BFloat16& to, float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
  to.x = static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : rounded);  // NaN stays one
}

// A row in the type of the arithmetic: the row itself, or its conversion in `buffer`.
template <typename In, typename S>
const S* as_row(const In* __restrict__ row, int64_t n, S* __restrict__ buffer) {
  if constexpr (std::is_same_v<In, S>) {
    return row;
  } else {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) buffer[j] = static_cast<S>(row[j]);
    return buffer;
  }
}

template <typename In, typename S>
void store_row(In* __restrict__ to, const S* __restrict__ from, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) put(to[j], from[j]);
}

// One where a membrane exceeds its threshold, else zero.
template <typename In, typename S>
void store_spikes(In* __restrict__ to, const S* __restrict__ u, const S* __restrict__ threshold, int64_t n) {
  if constexpr (std::is_floating_point_v<In>) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) to[j] = fires(u[j], threshold[j]) ? In(1) : In(0);
  } else {
    const uint16_t one = In(1.f).x;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) to[j].x = fires(u[j], threshold[j]) ? one : 0;
  }
}

}  // namespace spikeseq
