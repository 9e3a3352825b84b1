// Layer normalisation of currents and the LIF neurons behind it, in one pass over a token's sub-steps, which
// stay in cache; the backward pass recomputes currents and membranes instead of reading them from memory.
// The neuron is that of neuron.h, through the row loops of rows.h.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "../binding.h"
#include "memory.h"
#include "rows.h"

namespace spikeseq {
namespace {

// Chains whose parameter gradients are summed up together: a fixed number, so that no sum depends on threads.
constexpr int64_t kChunk = 32;

// Currents (length, repeats, batch, channels) and spikes (length, substeps, batch, channels). A chain is what
// shares a membrane: one token of one sequence, or, if it persists, all tokens of one sequence.
struct Tokens {
  int64_t length, repeats, batch, channels, substeps;
  bool persist;
  double epsilon;
  const int64_t* lengths;

  int64_t chains() const { return persist ? batch : length * batch; }
  int64_t hold() const { return substeps / repeats; }  // sub-steps that a row of currents lasts
  int64_t sequence(int64_t chain) const { return chain % batch; }
  int64_t first(int64_t chain) const { return persist ? 0 : chain / batch; }
  int64_t given(int64_t chain) const { return persist ? length : 1; }
  int64_t counting(int64_t chain) const {
    if (!lengths) return given(chain);
    return std::clamp<int64_t>(lengths[sequence(chain)] - first(chain), 0, given(chain));
  }
  int64_t row(int64_t token, int64_t repeat, int64_t per_token, int64_t chain) const {
    return ((token * per_token + repeat) * batch + sequence(chain)) * channels;
  }
};

template <typename S>
struct Parameters {
  const S *gain, *offset;
  std::vector<S> leak, threshold, inverse_threshold;

  Parameters(const Tokens& t, const at::Tensor& gain, const at::Tensor& offset, const at::Tensor& leaks,
             const at::Tensor& thresholds)
      : gain(gain.const_data_ptr<S>()), offset(offset.const_data_ptr<S>()), leak(t.channels),
        threshold(t.channels), inverse_threshold(t.channels) {
    const S *l = leaks.const_data_ptr<S>(), *v = thresholds.const_data_ptr<S>();
    for (int64_t c = 0; c < t.channels; ++c) {
      leak[c] = l[leaks.numel() == 1 ? 0 : c];
      threshold[c] = v[thresholds.numel() == 1 ? 0 : c];
      inverse_threshold[c] = S(1) / threshold[c];
    }
  }
};

// x to (x - mean) / deviation; returns 1 / deviation.
template <typename S>
S standardise(int64_t n, const S* __restrict__ x, S epsilon, S* __restrict__ out) {
  S sum(0), squares(0);
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) sum += x[j];
  const S mean = sum / S(n);
#pragma omp simd reduction(+ : squares)
  for (int64_t j = 0; j < n; ++j) squares += (x[j] - mean) * (x[j] - mean);
  const S inverse = S(1) / std::sqrt(squares / S(n) + epsilon);
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = (x[j] - mean) * inverse;
  return inverse;
}

template <typename S>
void scale_and_shift(int64_t n, const S* x, const S* __restrict__ gain,
                     const S* __restrict__ offset, S* out) {  // in place, too
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = x[j] * gain[j] + offset[j];
}

// The gradient of x from that of its standardised, scaled and shifted form; adds to those of gain and offset.
template <typename S>
void standardise_adjoint(int64_t n, const S* __restrict__ grad, const S* __restrict__ standard,
                         const S* __restrict__ gain, S inverse, S* __restrict__ by_gain,
                         S* __restrict__ by_offset, S* __restrict__ out) {
  S mean(0), slope(0);
#pragma omp simd reduction(+ : mean, slope)
  for (int64_t j = 0; j < n; ++j) {
    const S g = grad[j] * gain[j];
    mean += g;
    slope += g * standard[j];
    by_gain[j] += grad[j] * standard[j];
    by_offset[j] += grad[j];
  }
  mean /= S(n);
  slope /= S(n);
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) out[j] = inverse * (grad[j] * gain[j] - mean - standard[j] * slope);
}

template <typename S>
void forward_chain(const Tokens& t, const Rows<S>& rows, const Parameters<S>& p, int64_t chain,
                   const S* currents, const S* state, S* spikes, S* final_state, std::vector<S>& scratch) {
  const int64_t n = t.channels;
  S *current = scratch.data(), *u = current + n, *next = u + n;
  if (state) std::copy_n(state + t.sequence(chain) * n, n, u);
  else std::fill_n(u, n, S(0));
  for (int64_t i = 0; i < t.given(chain); ++i) {
    const int64_t token = t.first(chain) + i;
    for (int64_t s = 0; s < t.substeps; ++s) {
      S* out = spikes + t.row(token, s, t.substeps, chain);
      if (i >= t.counting(chain)) {
        std::fill_n(out, n, S(0));
        continue;
      }
      if (s % t.hold() == 0) {
        standardise(n, currents + t.row(token, s / t.hold(), t.repeats, chain), S(t.epsilon), current);
        scale_and_shift(n, current, p.gain, p.offset, current);
      }
      rows.update(n, u, current, p.leak.data(), p.threshold.data(), next);
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) out[j] = fires(next[j], p.threshold[j]) ? S(1) : S(0);
      std::swap(u, next);
    }
  }
  if (final_state) std::copy_n(u, n, final_state + t.sequence(chain) * n);
}

// Buffers of one thread for the backward pass over one chain.
template <typename S>
struct History {
  std::vector<S> membranes, standard, inverses, current, slopes, grad_row;
  std::vector<S> a_membrane, a_spike;
  History(const Tokens& t)
      : membranes(((t.persist ? t.length : 1) * t.substeps + 1) * t.channels),
        standard((t.persist ? t.length : 1) * t.repeats * t.channels),
        inverses((t.persist ? t.length : 1) * t.repeats), current(t.channels), slopes(t.channels),
        grad_row(t.channels), a_membrane(t.channels), a_spike(t.channels) {}
};

// Sums over the chains of a chunk, per channel: gain, offset, leak, threshold.
template <typename S>
struct Sums {
  S *gain, *offset, *leak, *threshold;
  Sums(S* at, int64_t n) : gain(at), offset(at + n), leak(at + 2 * n), threshold(at + 3 * n) {}
};

template <typename S>
void backward_chain(const Tokens& t, const Choice& choice, const Rows<S>& rows, const Parameters<S>& p,
                    int64_t chain, const S* grad_spikes, const S* grad_final, const S* currents,
                    const S* state, S* grad_currents, S* grad_state, Sums<S> sums, History<S>& h) {
  const int64_t n = t.channels, tokens = t.counting(chain), rows_in = tokens * t.repeats;
  const auto scale = choice.template scale<S>();
  const S keep_reset = choice.detach_reset ? S(0) : S(1);
  const auto membrane = [&](int64_t step) { return &h.membranes[step * n]; };  // before a sub-step

  if (state) std::copy_n(state + t.sequence(chain) * n, n, membrane(0));
  else std::fill_n(membrane(0), n, S(0));
  for (int64_t r = 0; r < rows_in; ++r) {
    const int64_t token = t.first(chain) + r / t.repeats;
    S* standard = &h.standard[r * n];
    h.inverses[r] = standardise(n, currents + t.row(token, r % t.repeats, t.repeats, chain), S(t.epsilon), standard);
    scale_and_shift(n, standard, p.gain, p.offset, h.current.data());
    for (int64_t k = r * t.hold(); k < (r + 1) * t.hold(); ++k)
      rows.update(n, membrane(k), h.current.data(), p.leak.data(), p.threshold.data(), membrane(k + 1));
  }

  if (grad_final) std::copy_n(grad_final + t.sequence(chain) * n, n, h.a_membrane.data());
  else std::fill(h.a_membrane.begin(), h.a_membrane.end(), S(0));
  std::fill(h.a_spike.begin(), h.a_spike.end(), S(0));
  for (int64_t i = t.given(chain) - 1; i >= tokens; --i)
    for (int64_t r = 0; r < t.repeats; ++r)
      std::fill_n(grad_currents + t.row(t.first(chain) + i, r, t.repeats, chain), n, S(0));
  for (int64_t r = rows_in - 1; r >= 0; --r) {
    const int64_t token = t.first(chain) + r / t.repeats;
    std::fill(h.grad_row.begin(), h.grad_row.end(), S(0));
    for (int64_t k = (r + 1) * t.hold() - 1; k >= r * t.hold(); --k) {
      rows.slope(n, membrane(k + 1), p.inverse_threshold.data(), scale, nullptr, 0, h.slopes.data());
      rows.adjoint(n, membrane(k + 1), membrane(k), h.slopes.data(),
                   grad_spikes + t.row(token, k % t.substeps, t.substeps, chain), p.leak.data(),
                   p.threshold.data(), p.inverse_threshold.data(), keep_reset, h.a_membrane.data(),
                   h.a_spike.data(), sums.leak, sums.threshold, h.grad_row.data());
    }
    standardise_adjoint(n, h.grad_row.data(), &h.standard[r * n], p.gain, h.inverses[r], sums.gain,
                        sums.offset, grad_currents + t.row(token, r % t.repeats, t.repeats, chain));
  }
  if (!grad_state) return;
  // The spike that follows from the supplied state itself.
  rows.slope(n, membrane(0), p.inverse_threshold.data(), scale, nullptr, 0, h.slopes.data());
  for (int64_t j = 0; j < n; ++j) {
    Adjoint<S> a{h.a_membrane[j], h.a_spike[j], S(0), sums.threshold[j]};
    spike_adjoint(membrane(0)[j], h.slopes[j], p.inverse_threshold[j], a);
    grad_state[t.sequence(chain) * n + j] = a.membrane;
    sums.threshold[j] = a.threshold;
  }
}

// The arguments that both directions take.
Checks check_norm_lif(const at::Tensor& currents, const std::optional<at::Tensor>& state, const at::Tensor& gain,
                      const at::Tensor& offset, const at::Tensor& leak, const at::Tensor& threshold,
                      const std::optional<at::Tensor>& lengths, int64_t substeps, const Choice& choice) {
  const Checks check("currents", currents);
  TORCH_CHECK_VALUE(currents.dim() == 4, "currents must be (L, T or 1, B, C), got ", currents.sizes());
  TORCH_CHECK_VALUE(memory_planes(choice.surrogate) == 0, "norm_lif takes surrogates without a memory, got ",
                    Names<Surrogate>::all[static_cast<int>(choice.surrogate)]);
  check_steps(currents.size(0), substeps, 1, true);
  const int64_t repeats = currents.size(1), batch = currents.size(2), channels = currents.size(3);
  TORCH_CHECK_VALUE(repeats >= 1 && substeps % repeats == 0, "currents of a token, ", repeats,
                    ", do not divide its substeps, ", substeps);
  check("state", state, {batch, channels});
  check("gain", gain, {channels});
  check("offset", offset, {channels});
  check.channels("leak", leak, channels);
  check.channels("threshold", threshold, channels);
  check.lengths(lengths, batch);
  return check;
}

Tokens tokens_of(const at::Tensor& currents, const std::optional<at::Tensor>& lengths, int64_t substeps,
                 bool persist, double epsilon) {
  return {currents.size(0), currents.size(1), currents.size(2), currents.size(3), substeps, persist, epsilon,
          lengths ? lengths->const_data_ptr<int64_t>() : nullptr};
}

template <typename S>
const S* pointer(const std::optional<at::Tensor>& t) { return t ? t->const_data_ptr<S>() : nullptr; }

std::tuple<at::Tensor, at::Tensor> norm_lif(
    const at::Tensor& currents_, const std::optional<at::Tensor>& state_, const at::Tensor& gain_,
    const at::Tensor& offset_, const at::Tensor& leak_, const at::Tensor& threshold_,
    const std::optional<at::Tensor>& lengths_, int64_t substeps, bool persist, double epsilon,
    std::string_view reset, std::string_view surrogate, double height, double width, bool detach_reset) {
  const at::Tensor currents = dense(currents_), gain = dense(gain_), offset = dense(offset_), leak = dense(leak_),
                   threshold = dense(threshold_);
  const auto state = dense(state_), lengths = dense(lengths_);
  const Choice choice = choice_of(reset, "spikes", surrogate, height, width, detach_reset);
  check_norm_lif(currents, state, gain, offset, leak, threshold, lengths, substeps, choice);
  const Tokens t = tokens_of(currents, lengths, substeps, persist, epsilon);
  at::Tensor spikes = empty_kept({t.length, substeps, t.batch, t.channels}, currents.options());
  at::Tensor final_state = at::empty({persist ? t.batch : 0, t.channels}, currents.options());
  AT_DISPATCH_FLOATING_TYPES(currents.scalar_type(), "norm_lif", [&] {
    using S = scalar_t;
    const Rows<S> rows(choice);
    const Parameters<S> p(t, gain, offset, leak, threshold);
    at::parallel_for(0, t.chains(), kChunk, [&](int64_t begin, int64_t end) {
      std::vector<S> scratch(3 * t.channels);
      for (int64_t chain = begin; chain < end; ++chain)
        forward_chain<S>(t, rows, p, chain, currents.const_data_ptr<S>(), pointer<S>(state), spikes.data_ptr<S>(),
                         persist ? final_state.data_ptr<S>() : nullptr, scratch);
    });
  });
  return {spikes, final_state};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> norm_lif_backward(
    const at::Tensor& grad_spikes_, const std::optional<at::Tensor>& grad_final_, const at::Tensor& currents_,
    const std::optional<at::Tensor>& state_, const at::Tensor& gain_, const at::Tensor& offset_,
    const at::Tensor& leak_, const at::Tensor& threshold_, const std::optional<at::Tensor>& lengths_,
    int64_t substeps, bool persist, double epsilon, std::string_view reset, std::string_view surrogate,
    double height, double width, bool detach_reset) {
  const at::Tensor grad_spikes = dense(grad_spikes_), currents = dense(currents_), gain = dense(gain_),
                   offset = dense(offset_), leak = dense(leak_), threshold = dense(threshold_);
  const auto state = dense(state_), lengths = dense(lengths_), grad_final = dense(grad_final_);
  const Choice choice = choice_of(reset, "spikes", surrogate, height, width, detach_reset);
  const Checks check = check_norm_lif(currents, state, gain, offset, leak, threshold, lengths, substeps, choice);
  const Tokens t = tokens_of(currents, lengths, substeps, persist, epsilon);
  check("grad_spikes", grad_spikes, {t.length, substeps, t.batch, t.channels});
  check("grad_final", grad_final, {t.batch, t.channels});
  at::Tensor grad_currents = empty_kept(currents.sizes(), currents.options());
  at::Tensor grad_state = at::empty({state ? t.batch : 0, t.channels}, currents.options());
  const int64_t chunks = (t.chains() + kChunk - 1) / kChunk;
  at::Tensor partial = at::zeros({chunks, 4, t.channels}, currents.options());
  AT_DISPATCH_FLOATING_TYPES(currents.scalar_type(), "norm_lif_backward", [&] {
    using S = scalar_t;
    const Rows<S> rows(choice);
    const Parameters<S> p(t, gain, offset, leak, threshold);
    at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
      History<S> history(t);
      for (int64_t chunk = begin; chunk < end; ++chunk)
        for (int64_t chain = chunk * kChunk; chain < std::min((chunk + 1) * kChunk, t.chains()); ++chain)
          backward_chain<S>(t, choice, rows, p, chain, grad_spikes.const_data_ptr<S>(), pointer<S>(grad_final),
                            currents.const_data_ptr<S>(), pointer<S>(state), grad_currents.data_ptr<S>(),
                            state ? grad_state.data_ptr<S>() : nullptr,
                            Sums<S>(partial.data_ptr<S>() + chunk * 4 * t.channels, t.channels), history);
    });
  });
  const at::Tensor sums = partial.sum(0, false, at::kDouble).to(currents.scalar_type());
  const auto shaped = [](const at::Tensor& sum, const at::Tensor& like) {
    return like.numel() == sum.numel() ? sum.clone() : sum.sum().reshape({1});
  };
  return {grad_currents, grad_state, sums[0].clone(), sums[1].clone(), shaped(sums[2], leak), shaped(sums[3], threshold)};
}

}  // namespace

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) {
  m.impl("norm_lif", &norm_lif);
  m.impl("norm_lif_backward", &norm_lif_backward);
}

}  // namespace spikeseq
