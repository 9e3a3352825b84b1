// Spikes as a list of the neurons that fired, found without a branch per neuron, and the sum of their rows of
// weights, kept in registers.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "../neuron.h"
#include "../vectors.h"

namespace spikeseq {

constexpr int64_t kGroup = 8;  // neurons whose spikes are found at once
using Counts = Vector<int32_t>::Lanes;

// A vector of small numbers as what they are summed in.
template <typename Sum, typename W>
inline typename Vector<Sum>::Lanes widened(const W* from) {
#ifdef __AVX2__
  if constexpr (std::is_same_v<W, int8_t>) {  // one instruction, which compilers do not find
    const __m128i given = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return reinterpret_cast<typename Vector<Sum>::Lanes>(_mm256_cvtepi8_epi32(given));
  }
#endif
  typedef W Given __attribute__((vector_size(Vector<Sum>::kLanes * sizeof(W))));
  Given given;
  std::memcpy(&given, from, sizeof given);
  return __builtin_convertvector(given, typename Vector<Sum>::Lanes);
}

// For every set of 8 bits, the places of those that are set, and how many.
struct Places {
  int8_t at[256][kGroup] = {};
  uint8_t count[256] = {};
  constexpr Places() {
    for (int bits = 0; bits < 256; ++bits)
      for (int i = 0; i < kGroup; ++i)
        if (bits >> i & 1) at[bits][count[bits]++] = static_cast<int8_t>(i);
  }
};
inline constexpr Places kPlaces;

// Appends the neurons of a group from j on whose entry of `mask` is set (-1) to `neurons`, which has `size` entries
// and room for a whole group more. Returns the new size.
inline int64_t append_fired(Counts mask, int64_t j, int32_t* neurons, int64_t size) {
#ifdef __AVX2__
  const uint32_t bits = _mm256_movemask_ps(reinterpret_cast<__m256>(mask));
#else
  uint32_t bits = 0;
  for (int i = 0; i < kGroup; ++i) bits |= static_cast<uint32_t>(mask[i] < 0) << i;
#endif
  Vector<int32_t>::store(neurons + size, widened<int32_t>(kPlaces.at[bits]) + static_cast<int32_t>(j));
  return size + kPlaces.count[bits];
}

// to[0..N vectors) += the rows of `count` neurons, the sums in registers.
template <int N, typename Sum, typename W>
inline void gather(const int32_t* neurons, int64_t count, const W* rows, int64_t stride, Sum* to) {
  constexpr int64_t kLanes = Vector<Sum>::kLanes;
  typename Vector<Sum>::Lanes sums[N];
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) sums[n] = Vector<Sum>::load(to + n * kLanes);
  for (int64_t i = 0; i < count; ++i) {
    const W* row = rows + neurons[i] * stride;
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) sums[n] += widened<Sum>(row + n * kLanes);
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) Vector<Sum>::store(to + n * kLanes, sums[n]);
}

// to[0..out) += the rows of `weight` (*, out) of `count` neurons.
template <typename Sum, typename W>
void add_rows(const int32_t* neurons, int64_t count, const W* weight, int64_t out, Sum* to) {
  constexpr int kVectors = std::is_same_v<Sum, W> ? 16 : 8;  // widening takes registers of its own
  over_columns<Sum, kVectors>(out, [&](int64_t c, auto vectors) {
    if constexpr (decltype(vectors)::value > 0) {
      gather<decltype(vectors)::value>(neurons, count, weight + c, out, to + c);
    } else {
      for (int64_t i = 0; i < count; ++i)
        for (int64_t k = c; k < out; ++k) to[k] += weight[neurons[i] * out + k];
    }
  });
}

// `neurons` has room for n and a group more. Returns how many there are.
template <typename S>
int64_t fired(int64_t n, const S* u, const S* threshold, int32_t* neurons) {
  typedef S Values __attribute__((vector_size(kGroup * sizeof(S))));
  int64_t size = 0, j = 0;
  for (; j + kGroup <= n; j += kGroup) {
    Values membrane, v;
    std::memcpy(&membrane, u + j, sizeof membrane);
    std::memcpy(&v, threshold + j, sizeof v);
    size = append_fired(__builtin_convertvector(membrane > v, Counts), j, neurons, size);
  }
  for (; j < n; ++j)
    if (fires(u[j], threshold[j])) neurons[size++] = static_cast<int32_t>(j);
  return size;
}

}  // namespace spikeseq
