// The surrogate derivatives of the spike, each a class with its equation, and the list of them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "choices.h"

namespace spikeseq {

// Constants of a surrogate; `decay` is exp(-1/width) and only surrogates with memory use it.
template <typename S>
struct SurrogateScale {
  S height, inverse_width, decay;
};

// exp(-x) for x >= 0, NaN for NaN. A polynomial for float, because a loop over libm's expf does not vectorise.
SPIKESEQ_HD float exp_negative(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: a sum with it ends in the nearest whole number, in its low bits
  const float y = -(x > 87.0f ? 87.0f : x) * 1.44269504f;
  const float shifted = y + kShift, f = (y - (shifted - kShift)) * 0.69314718f;
  const float series =
      1 + f * (1 + f * (0.5f + f * (0.16666667f + f * (0.041666667f + f * (8.3333333e-3f +
      f * (1.3888889e-3f + f * 1.9841270e-4f))))));
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return series * power;
}
SPIKESEQ_HD double exp_negative(double x) { return exp(-x); }

template <typename S>
SPIKESEQ_HD S magnitude(S z) {
  return z < 0 ? -z : z;
}

// ---- the surrogates: do/dz is height * shape, whose peak is 1

// Without memory (kPlanes 0), a shape of z = (u/v - 1) / width.

struct PiecewiseLinear {  // thesis eq. 5.12
  static constexpr int kPlanes = 0;
  template <typename S>
  static SPIKESEQ_HD S shape(S z) {
    const S x = magnitude(z);
    return x >= S(1) ? S(0) : S(1) - x;  // NaN stays
  }
};

struct Sigmoid {  // 4 s(z) (1 - s(z))
  static constexpr int kPlanes = 0;
  template <typename S>
  static SPIKESEQ_HD S shape(S z) {
    const S e = exp_negative(magnitude(z)), one(1);
    return 4 * e / ((one + e) * (one + e));
  }
};

struct ArcTan {
  static constexpr int kPlanes = 0;
  template <typename S>
  static SPIKESEQ_HD S shape(S z) {
    return S(1) / (S(1) + z * z);
  }
};

struct FastSigmoid {
  static constexpr int kPlanes = 0;
  template <typename S>
  static SPIKESEQ_HD S shape(S z) {
    const S x = magnitude(z), one(1);
    return one / ((one + x) * (one + x));
  }
};

// With memory, one or two values per neuron (kPlanes 1 or 2): `remember` moves them past a sub-step, whose spike is
// `fired`; the shape is one of these values after it. `scale` holds what the width comes to.

struct ApproximateLIF {  // max(0, 1 + f'/n), f' = -f / width: the leaky sum f of the neuron's spikes, their number n
  static constexpr int kPlanes = 2;
  template <typename S>
  static SPIKESEQ_HD void remember(bool fired, const SurrogateScale<S>& scale, S& f, S& n) {
    f = scale.decay * f + (fired ? S(1) : S(0));
    n = n + (fired ? S(1) : S(0));
  }
  template <typename S>
  static SPIKESEQ_HD S shape(const SurrogateScale<S>& scale, S f, S n) {
    const S correction = S(1) - scale.inverse_width * f / (n > 0 ? n : S(1));
    return n > 0 && correction > 0 ? correction : S(0);
  }
};

struct SpikeTime {  // thesis eq. 4.11: the sub-steps since the neuron's last spike
  static constexpr int kPlanes = 1;
  template <typename S>
  static SPIKESEQ_HD void remember(bool fired, const SurrogateScale<S>&, S& since) {
    since = fired ? S(0) : since + S(1);
  }
  template <typename S>
  static SPIKESEQ_HD S shape(const SurrogateScale<S>& scale, S since) {
    return exp_negative(scale.inverse_width * since);
  }
};

// ---- the list: X(Surrogate, the name that Python uses, the class above)

#define SPIKESEQ_SURROGATES(X)                       \
  X(Surrogate, piecewise_linear, PiecewiseLinear)    \
  X(Surrogate, sigmoid, Sigmoid)                     \
  X(Surrogate, arctan, ArcTan)                       \
  X(Surrogate, fast_sigmoid, FastSigmoid)            \
  X(Surrogate, approximate_lif, ApproximateLIF)      \
  X(Surrogate, spike_time, SpikeTime)

// ---- what follows from it

constexpr int kMostPlanes = 2;  // all that loops have room for

#define SPIKESEQ_CHECK_PLANES(Kind, name, Class)                      \
  static_assert(Class::kPlanes >= 0 && Class::kPlanes <= kMostPlanes, \
                "surrogate " #name ": kPlanes, the values it remembers per neuron, must be 0, 1 or 2");

SPIKESEQ_ENUMERATION(Surrogate, SPIKESEQ_SURROGATES)
SPIKESEQ_CHOICE(Surrogate, SPIKESEQ_SURROGATES)
SPIKESEQ_SURROGATES(SPIKESEQ_CLASS)
SPIKESEQ_SURROGATES(SPIKESEQ_CHECK_PLANES)

template <Surrogate K>
using SurrogateOf = typename ClassOf<Surrogate, K>::type;

// How many values a surrogate remembers per neuron, beside the membrane.
#define SPIKESEQ_PLANES(Kind, name, Class) (k == Kind::name ? Class::kPlanes : 0) +
SPIKESEQ_HD constexpr int memory_planes(Surrogate k) { return SPIKESEQ_SURROGATES(SPIKESEQ_PLANES) 0; }

// Move the memory of a surrogate past sub-step t. Values that it does not have are not touched.
template <Surrogate K, typename S>
SPIKESEQ_HD void remember(bool fired, const SurrogateScale<S>& scale, S& first, S& second) {
  if constexpr (memory_planes(K) == 1) SurrogateOf<K>::remember(fired, scale, first);
  if constexpr (memory_planes(K) == 2) SurrogateOf<K>::remember(fired, scale, first, second);
}

// do/dz at sub-step t, from its membrane and the memory after it.
template <Surrogate K, typename S>
SPIKESEQ_HD S slope(S u, S inverse_threshold, const SurrogateScale<S>& scale, S first, S second) {
  if constexpr (memory_planes(K) == 0)
    return scale.height * SurrogateOf<K>::shape((u * inverse_threshold - S(1)) * scale.inverse_width);
  if constexpr (memory_planes(K) == 1) return scale.height * SurrogateOf<K>::shape(scale, first);
  if constexpr (memory_planes(K) == 2) return scale.height * SurrogateOf<K>::shape(scale, first, second);
}

// The same two with the surrogate chosen at run time: for loops that a branch does not slow down.
template <typename S>
SPIKESEQ_HD void remember(Surrogate kind, bool fired, const SurrogateScale<S>& scale, S& first, S& second) {
  pick(kind, [&](auto k) { remember<decltype(k)::value>(fired, scale, first, second); });
}

template <typename S>
SPIKESEQ_HD S slope(Surrogate kind, S u, S inverse_threshold, const SurrogateScale<S>& scale, S first, S second) {
  return pick(kind, [&](auto k) { return slope<decltype(k)::value>(u, inverse_threshold, scale, first, second); });
}

}  // namespace spikeseq
