// For sums of rows of weights that stay in registers: vectors of 32 bytes, and columns in chunks that fit the registers.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace spikeseq {

template <typename S>
struct Vector {
  static constexpr int64_t kLanes = 32 / sizeof(S);
  typedef S Lanes __attribute__((vector_size(32)));
  static Lanes load(const S* from) { Lanes v; std::memcpy(&v, from, sizeof v); return v; }
  static void store(S* to, Lanes v) { std::memcpy(to, &v, sizeof v); }
};

// each(c, N) over all `width` columns: N vectors from column c on, the last chunk N = 0, for what fills no vector.
template <typename S, int kMost = 16, typename Each>
void over_columns(int64_t width, const Each& each) {
  constexpr int64_t kLanes = Vector<S>::kLanes;
  int64_t c = 0;
  for (; c + kMost * kLanes <= width; c += kMost * kLanes) each(c, std::integral_constant<int, kMost>());
  for (; c + kLanes <= width; c += kLanes) each(c, std::integral_constant<int, 1>());
  if (c < width) each(c, std::integral_constant<int, 0>());
}

}  // namespace spikeseq
