// The neuron: one sub-step and its partial derivatives, for each reset; the spike and its adjoint. Everything else (time
// loops, CPU, CUDA, forward, adjoint) calls what is written here, once. The derivatives of the spike are in surrogates.h.
#pragma once

#include <cstdint>

#include "choices.h"
#include "surrogates.h"

namespace spikeseq {

template <typename S>
SPIKESEQ_HD bool fires(S membrane, S threshold) {
  return membrane > threshold;  // strict, thesis eq. 6.2
}

// Derivatives of u[t] by u[t-1] (with o[t-1] held), by o[t-1], leak and threshold.
template <typename S>
struct Partials {
  S membrane, spike, leak, threshold;
};

// ---- the resets: u[t] from u[t-1] and I[t], o[t-1] following from u[t-1]; and the derivatives of that

struct Soft {  // thesis eq. 6.1
  template <typename S>
  static SPIKESEQ_HD S update(S u, S current, S leak, S threshold) {
    return leak * u + current - (fires(u, threshold) ? threshold : S(0));
  }
  template <typename S>
  static SPIKESEQ_HD Partials<S> partials(S u, S leak, S threshold) {
    return {leak, -threshold, u, fires(u, threshold) ? -S(1) : S(0)};
  }
};

struct SoftImmediate {
  template <typename S>
  static SPIKESEQ_HD S update(S u, S current, S leak, S threshold) {
    return leak * (u - (fires(u, threshold) ? threshold : S(0))) + current;
  }
  template <typename S>
  static SPIKESEQ_HD Partials<S> partials(S u, S leak, S threshold) {
    const bool fired = fires(u, threshold);
    return {leak, -leak * threshold, fired ? u - threshold : u, fired ? -leak : S(0)};
  }
};

struct Hard {
  template <typename S>
  static SPIKESEQ_HD S update(S u, S current, S leak, S threshold) {
    return leak * (fires(u, threshold) ? S(0) : u) + current;
  }
  template <typename S>
  static SPIKESEQ_HD Partials<S> partials(S u, S leak, S threshold) {
    const bool fired = fires(u, threshold);
    return {fired ? S(0) : leak, -leak * u, fired ? S(0) : u, S(0)};
  }
};

// ---- the lists: X(kind, the name that Python uses, the class above)

#define SPIKESEQ_RESETS(X)                         \
  X(Reset, soft, Soft)                             \
  X(Reset, soft_immediate, SoftImmediate)          \
  X(Reset, hard, Hard)

#define SPIKESEQ_READOUTS(X) X(Readout, spikes, void) X(Readout, rate, void) X(Readout, membrane, void)

SPIKESEQ_ENUMERATION(Reset, SPIKESEQ_RESETS)
SPIKESEQ_CHOICE(Reset, SPIKESEQ_RESETS)
SPIKESEQ_RESETS(SPIKESEQ_CLASS)
SPIKESEQ_ENUMERATION(Readout, SPIKESEQ_READOUTS)
SPIKESEQ_CHOICE(Readout, SPIKESEQ_READOUTS)

template <Reset R, typename S>
SPIKESEQ_HD S update(S u, S current, S leak, S threshold) {
  return ClassOf<Reset, R>::type::update(u, current, leak, threshold);
}

template <Reset R, typename S>
SPIKESEQ_HD Partials<S> partials(S u, S leak, S threshold) {
  return ClassOf<Reset, R>::type::partials(u, leak, threshold);
}

// norm_input: the current that reaches the membrane; and back, its gradient, which becomes that of the current itself.
// Returns what the leak gets of it.
template <typename S>
SPIKESEQ_HD S weighted(S current, S leak) { return current * (S(1) - leak); }
template <typename S>
SPIKESEQ_HD S weighted_adjoint(S current, S leak, S& grad) {
  const S by_leak = -(grad * current);
  grad = grad * (S(1) - leak);
  return by_leak;
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
