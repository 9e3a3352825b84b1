// The neuron: one sub-step, its partial derivatives, and the surrogate derivatives of the spike.
// Everything else (time loops, CPU, CUDA, forward, adjoint) calls what is written here, once.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define SPIKESEQ_HD __host__ __device__ __forceinline__
#else
#define SPIKESEQ_HD inline __attribute__((always_inline))
#endif

namespace spikeseq {

enum class Reset : int { soft, soft_immediate, hard };
enum class Surrogate : int { piecewise_linear, sigmoid, arctan, fast_sigmoid, approximate_lif, spike_time };
enum class Readout : int { spikes, rate, membrane };

template <typename S>
SPIKESEQ_HD bool fires(S membrane, S threshold) {
  return membrane > threshold;  // strict, thesis eq. 6.2
}

// u[t] from u[t-1] and I[t]; o[t-1] follows from u[t-1].
template <Reset R, typename S>
SPIKESEQ_HD S update(S u, S current, S leak, S threshold) {
  const S reset = fires(u, threshold) ? threshold : S(0);
  if constexpr (R == Reset::soft) return leak * u + current - reset;  // thesis eq. 6.1
  if constexpr (R == Reset::soft_immediate) return leak * (u - reset) + current;
  return leak * (fires(u, threshold) ? S(0) : u) + current;  // hard
}

// Derivatives of u[t] by u[t-1] (with o[t-1] held), by o[t-1], leak and threshold.
template <typename S>
struct Partials {
  S membrane, spike, leak, threshold;
};

template <Reset R, typename S>
SPIKESEQ_HD Partials<S> partials(S u, S leak, S threshold) {
  const bool fired = fires(u, threshold);
  const S zero(0), one(1);
  if constexpr (R == Reset::soft) return {leak, -threshold, u, fired ? -one : zero};
  if constexpr (R == Reset::soft_immediate)
    return {leak, -leak * threshold, fired ? u - threshold : u, fired ? -leak : zero};
  return {fired ? zero : leak, -leak * u, fired ? zero : u, zero};
}

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

// How many values a surrogate remembers per neuron, beside the membrane.
SPIKESEQ_HD constexpr int memory_planes(Surrogate k) {
  return k == Surrogate::approximate_lif ? 2 : k == Surrogate::spike_time ? 1 : 0;
}

// The surrogate of do/dz at z = u/v - 1, with peak 1 at z = 0 and unit width.
template <Surrogate K, typename S>
SPIKESEQ_HD S shape(S z) {
  const S x = z < 0 ? -z : z, one(1);
  if constexpr (K == Surrogate::piecewise_linear) return x >= one ? S(0) : one - x;  // thesis eq. 5.12; NaN stays
  if constexpr (K == Surrogate::arctan) return one / (one + x * x);
  if constexpr (K == Surrogate::fast_sigmoid) return one / ((one + x) * (one + x));
  const S e = exp_negative(x);  // sigmoid: 4 s(z) (1 - s(z))
  return 4 * e / ((one + e) * (one + e));
}

// Constants of a surrogate; `decay` is exp(-1/width) and only surrogates with memory use it.
template <typename S>
struct SurrogateScale {
  S height, inverse_width, decay;
};

// Move the memory of a surrogate past sub-step t, whose spike is `fired`.
// approximate_lif: the leaky sum f of the neuron's own spikes and their number n. spike_time: f is the
// sub-steps since the last of them.
template <Surrogate K, typename S>
SPIKESEQ_HD void remember(bool fired, const SurrogateScale<S>& scale, S& f, S& n) {
  if constexpr (K == Surrogate::approximate_lif) {
    f = scale.decay * f + (fired ? S(1) : S(0));
    n = n + (fired ? S(1) : S(0));
  }
  if constexpr (K == Surrogate::spike_time) f = fired ? S(0) : f + S(1);
}

// do/dz at sub-step t, from its membrane and the memory after it.
template <Surrogate K, typename S>
SPIKESEQ_HD S slope(S u, S inverse_threshold, const SurrogateScale<S>& scale, S f, S n) {
  if constexpr (K == Surrogate::approximate_lif) {  // max(0, 1 + f'/n), f' = -f / width
    const S correction = S(1) - scale.inverse_width * f / (n > 0 ? n : S(1));
    return n > 0 && correction > 0 ? scale.height * correction : S(0);
  } else if constexpr (K == Surrogate::spike_time) {  // thesis eq. 4.11
    return scale.height * exp_negative(scale.inverse_width * f);
  } else {
    return scale.height * shape<K>((u * inverse_threshold - S(1)) * scale.inverse_width);
  }
}

// The same two with the surrogate chosen at run time: for loops that a branch does not slow down.
#define SPIKESEQ_SWITCH(kind, call)                                                       \
  switch (kind) {                                                                         \
    case Surrogate::piecewise_linear: { constexpr auto K = Surrogate::piecewise_linear; return call; } \
    case Surrogate::sigmoid: { constexpr auto K = Surrogate::sigmoid; return call; }      \
    case Surrogate::arctan: { constexpr auto K = Surrogate::arctan; return call; }        \
    case Surrogate::fast_sigmoid: { constexpr auto K = Surrogate::fast_sigmoid; return call; } \
    case Surrogate::approximate_lif: { constexpr auto K = Surrogate::approximate_lif; return call; } \
    default: { constexpr auto K = Surrogate::spike_time; return call; }                   \
  }

template <typename S>
SPIKESEQ_HD void remember(Surrogate kind, bool fired, const SurrogateScale<S>& scale, S& f, S& n) {
  SPIKESEQ_SWITCH(kind, (remember<K>(fired, scale, f, n)))
}

template <typename S>
SPIKESEQ_HD S slope(Surrogate kind, S u, S inverse_threshold, const SurrogateScale<S>& scale, S f, S n) {
  SPIKESEQ_SWITCH(kind, (slope<K>(u, inverse_threshold, scale, f, n)))
}

// Calls work.run<K>(), where the choice is to be made once for many sub-steps.
template <typename Work>
SPIKESEQ_HD void with_surrogate(Surrogate kind, Work& work) {
  SPIKESEQ_SWITCH(kind, (work.template run<K>()))
}

// What travels backwards in time for one neuron: gradients of u[t] and o[t], and of the parameters.
template <typename S>
struct Adjoint {
  S membrane, spike, leak, threshold;
};

// The spike at u: turns the gradient of o[t] into gradients of u[t] and of the threshold (eq. 5.13, 5.15).
template <typename S>
SPIKESEQ_HD void spike_adjoint(S u, S slope, S inverse_threshold, Adjoint<S>& a) {
  const S by_membrane = a.spike * slope * inverse_threshold;
  a.membrane += by_membrane;
  a.threshold -= by_membrane * u * inverse_threshold;
}

// One sub-step backwards. `a` holds the gradients of u[t] and o[t] and leaves with those of u[t-1] and
// o[t-1]; the return value is the gradient of I[t]. keep_reset is 0 where o[t-1] counts as a
// constant in the reset (the threshold's own gradient stays).
template <Reset R, typename S>
SPIKESEQ_HD S update_adjoint(S u, S u_previous, S slope, S leak, S threshold, S inverse_threshold,
                             S keep_reset, Adjoint<S>& a) {
  spike_adjoint(u, slope, inverse_threshold, a);
  const S g = a.membrane;
  const Partials<S> p = partials<R>(u_previous, leak, threshold);
  a.leak += p.leak * g;
  a.threshold += p.threshold * g;
  a.membrane = p.membrane * g;
  a.spike = keep_reset * p.spike * g;
  return g;
}

}  // namespace spikeseq
