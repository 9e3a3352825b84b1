// Loops over a row of neighbouring neurons for several sub-steps at once, which the compiler vectorises: what is the same
// at each of them, and the state between them, stays in registers. For neurons whose currents are all known before; the
// rules are those of neuron.h.
#pragma once

#include <utility>

#include "../problem.h"

namespace spikeseq {

constexpr int kSpan = 4;  // sub-steps at once; for more there are not enough registers

// f(0), ..., f(K - 1), each a constant.
template <typename F, int... I>
SPIKESEQ_HD void unrolled(const F& f, std::integer_sequence<int, I...>) { (f(std::integral_constant<int, I>()), ...); }
template <int K, typename F>
SPIKESEQ_HD void unrolled(const F& f) { unrolled(f, std::make_integer_sequence<int, K>()); }

// From membranes u through K rows of currents; each(i, j, membrane, threshold) after sub-step i of neuron j. `leaks`: the
// row that all K sub-steps share, or K of them if kLeakRows; returns whether some of those lie outside [0, 1].
template <Reset R, int K, bool kLeakRows, typename S, typename Each>
SPIKESEQ_HD int follow(int64_t n, const S* u, const S* const* currents, const S* const* leaks, const S* threshold,
                        const Each& each) {
  const S *from[K], *leak[K];
  for (int i = 0; i < K; ++i) { from[i] = currents[i]; leak[i] = leaks[kLeakRows ? i : 0]; }
  int bad = 0;
#pragma omp simd reduction(| : bad)
  for (int64_t j = 0; j < n; ++j) {
    S x = u[j];
    S l = leak[0][j];
    const S v = threshold[j];
    unrolled<K>([&](auto i) {
      if constexpr (kLeakRows) {
        l = leak[i][j];
        bad |= !(l >= 0) | !(l <= 1);
      }
      x = update<R>(x, from[i][j], l, v);
      each(i, j, x, v);
    });
  }
  return bad;
}

// The K rows of membranes.
template <Reset R, int K, bool kLeakRows, typename S>
int keep_span(int64_t n, const S* u, const S* const* currents, const S* const* leaks, const S* threshold, S* const* rows) {
  S* to[K];
  for (int i = 0; i < K; ++i) to[i] = rows[i];
  return follow<R, K, kLeakRows>(n, u, currents, leaks, threshold, [&](auto i, int64_t j, S x, S) { to[i][j] = x; });
}

// The K rows of spikes; u is moved on.
template <Reset R, int K, bool kLeakRows, typename S>
int fire_span(int64_t n, S* u, const S* const* currents, const S* const* leaks, const S* threshold, S* const* spikes) {
  S* to[K];
  for (int i = 0; i < K; ++i) to[i] = spikes[i];
  return follow<R, K, kLeakRows>(n, u, currents, leaks, threshold, [&](auto i, int64_t j, S x, S v) {
    to[i][j] = fires(x, v) ? S(1) : S(0);
    if constexpr (i + 1 == K) u[j] = x;
  });
}

// Spikes are added to a row of counts, or not asked for; u is moved on.
template <Reset R, int K, bool kLeakRows, typename S>
int count_span(int64_t n, S* u, const S* const* currents, const S* const* leaks, const S* threshold, S* count) {
  return follow<R, K, kLeakRows>(n, u, currents, leaks, threshold, [&](auto i, int64_t j, S x, S v) {
    count[j] += fires(x, v) ? S(1) : S(0);
    if constexpr (i + 1 == K) u[j] = x;
  });
}
template <Reset R, int K, bool kLeakRows, typename S>
int move_span(int64_t n, S* u, const S* const* currents, const S* const* leaks, const S* threshold) {
  return follow<R, K, kLeakRows>(n, u, currents, leaks, threshold, [&](auto i, int64_t j, S x, S) {
    if constexpr (i + 1 == K) u[j] = x;
  });
}

// What the backward pass knows of a row of neurons, and what it carries back in time.
template <typename S>
struct Carried {
  const S *threshold, *inverse_threshold;
  S *membrane, *spike, *by_threshold;
  Carried from(int64_t o) const {
    return {threshold + o, inverse_threshold + o, membrane + o, spike + o, by_threshold + o};
  }
};

// K sub-steps backwards. u: K + 1 rows of membranes, `stride` apart, the first from before the first of the sub-steps.
// Gradients of currents go to K rows, or are added to the first where one current served all (not kOwn); so do those of
// leaks, by kLeakRows.
template <Reset R, Surrogate G, int K, bool kOwn, bool kLeakRows, typename S>
void adjoint_span(int64_t n, const S* u, int64_t stride, const S* const* grads, SurrogateScale<S> scale, S keep_reset,
                  const Carried<S>& c, const S* const* leaks, S* const* grad_currents, S* const* grad_leaks) {
  const S *given[K], *leak[K];
  S *to[K], *by_leak[K];
  for (int i = 0; i < K; ++i) {
    given[i] = grads[i];
    to[i] = grad_currents[kOwn ? i : 0];
    leak[i] = leaks[kLeakRows ? i : 0];
    by_leak[i] = grad_leaks[kLeakRows ? i : 0];
  }
  const Carried<S> at = c;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    Adjoint<S> a{at.membrane[j], at.spike[j], kLeakRows ? S(0) : by_leak[0][j], at.by_threshold[j]};
    S l = leak[0][j];
    const S v = at.threshold[j], inverse = at.inverse_threshold[j];
    S after = u[K * stride + j], sum = kOwn ? S(0) : to[0][j];
    unrolled<K>([&](auto k) {
      constexpr int i = K - 1 - k;
      const S before = u[i * stride + j];
      a.spike += given[i][j];
      if constexpr (kLeakRows) l = leak[i][j];
      const S g = update_adjoint<R>(after, before, slope<G>(after, inverse, scale, S(0), S(0)), l, v, inverse, keep_reset, a);
      if constexpr (kOwn) to[i][j] = g;
      else sum += g;
      if constexpr (kLeakRows) {
        by_leak[i][j] = a.leak;
        a.leak = 0;
      }
      after = before;
    });
    if constexpr (!kOwn) to[0][j] = sum;
    at.membrane[j] = a.membrane;
    at.spike[j] = a.spike;
    if constexpr (!kLeakRows) by_leak[0][j] = a.leak;
    at.by_threshold[j] = a.threshold;
  }
}

// The loops for the reset and the surrogate chosen at run time: [0] for one sub-step, [1] for kSpan, [2] and [3] the same
// with leaks of their own; where a current serves all, its leak does, too. A surrogate with a memory has no adjoint here.
template <typename S>
struct Spans {
  decltype(&keep_span<Reset::soft, 1, false, S>) keep[4];
  decltype(&fire_span<Reset::soft, 1, false, S>) fire[4];
  decltype(&count_span<Reset::soft, 1, false, S>) count[4];
  decltype(&move_span<Reset::soft, 1, false, S>) move[4];
  decltype(&adjoint_span<Reset::soft, Surrogate::sigmoid, 1, true, false, S>) own[4], shared[2];

  explicit Spans(const Choice& c) {
    pick(c.reset, [&](auto reset) {
      constexpr Reset R = decltype(reset)::value;
      const auto fill = [&](auto many, auto rows) {
        constexpr int K = many ? kSpan : 1, at = many + 2 * rows;
        keep[at] = keep_span<R, K, rows, S>, fire[at] = fire_span<R, K, rows, S>;
        count[at] = count_span<R, K, rows, S>, move[at] = move_span<R, K, rows, S>;
      };
      constexpr std::false_type no;
      constexpr std::true_type yes;
      fill(no, no), fill(yes, no), fill(no, yes), fill(yes, yes);
      pick(c.surrogate, [&](auto surrogate) {
        constexpr Surrogate G = decltype(surrogate)::value;
        if constexpr (memory_planes(G) == 0) {
          own[0] = adjoint_span<R, G, 1, true, false, S>, own[1] = adjoint_span<R, G, kSpan, true, false, S>;
          own[2] = adjoint_span<R, G, 1, true, true, S>, own[3] = adjoint_span<R, G, kSpan, true, true, S>;
          shared[0] = adjoint_span<R, G, 1, false, false, S>, shared[1] = adjoint_span<R, G, kSpan, false, false, S>;
        } else {
          own[0] = own[1] = own[2] = own[3] = shared[0] = shared[1] = nullptr;
        }
      });
    });
  }
};

}  // namespace spikeseq
