// A convolution over tokens whose input is mostly zero, as spikes are: only the rows of weights are read whose
// neuron fired. out[r + shift(k)] += sum over j with x[r][j] != 0 of x[r][j] * weight[k][j], rows being all
// middle dimensions of (L, *, I) flattened, so that a tap is a shift of whole rows.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "../../checks.h"
#include "strips.h"

namespace spikeseq {
namespace {

// Past this share of non-zeros a dense matrix product is as fast.
constexpr double kDensest = 0.3;
constexpr int64_t kFewRows = 128;      // up to so many, copying all weights into strips costs more than it gives
constexpr int64_t kTapRows = 64;       // of few rows, those whose sums stay in cache while a tap's weights are read
constexpr int64_t kStripRows = 512;    // rows whose events stay in cache while all strips read them
constexpr int64_t kTapGradRows = 256;  // rows of a strip of gradients that stay in cache while all neurons read them

struct Taps {
  int64_t given, made, middle, in, out, taps, before;
  int64_t shift(int64_t k) const { return (before - k) * middle; }  // from input row to output row
  int64_t rows() const { return given * middle; }
  int64_t rows_out() const { return made * middle; }
};

template <typename S>
void add_few(const Taps& t, const ByRow<S>& events, const S* weight, S* out) {
  const int64_t blocks = (t.rows_out() + kTapRows - 1) / kTapRows;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t k = 0; k < t.taps; ++k) {
        const int64_t first = std::max(block * kTapRows, t.shift(k));
        const int64_t last = std::min({(block + 1) * kTapRows, t.rows_out(), t.rows() + t.shift(k)});
        over_columns<S>(t.out, [&](int64_t c, auto n) {
          for (int64_t to = first; to < last; ++to)
            add_value_rows<S>(n, t.out - c, events.of(to - t.shift(k)), weight + k * t.in * t.out + c, t.out,
                              out + to * t.out + c);
        });
      }
  });
}

template <bool kOne, typename S>
void add_many(const Taps& t, const ByRow<S>& events, S scale, const S* weight, S* out) {
  constexpr int64_t kWidth = Strips<S>::kWidth;
  const int64_t strips = Strips<S>::count(t.out), size = t.in * kWidth;
  const std::unique_ptr<S[]> copied(new S[t.taps * strips * size]);
  S* tables = copied.get();
  at::parallel_for(0, t.taps * strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      Strips<S>::copy(t.in, t.out, i % strips, scale, weight + i / strips * t.in * t.out, tables + i * size);
  });
  const int64_t blocks = (t.rows_out() + kStripRows - 1) / kStripRows;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t strip = 0; strip < strips; ++strip)
        for (int64_t k = 0; k < t.taps; ++k) {
          const int64_t shift = t.shift(k), first = std::max(block * kStripRows, shift);
          const int64_t last = std::min({(block + 1) * kStripRows, t.rows_out(), t.rows() + shift});
          sum_rows<kOne>(first, last, std::min(kWidth, t.out - strip * kWidth), t.out,
                         tables + (k * strips + strip) * size, out + strip * kWidth,
                         [&](int64_t r) { return events.of(r - shift); });
        }
  });
}

template <typename S>
bool add_sparse(const Taps& t, const S* x, const S* weight, S* out) {
  ByRow<S> events(t.rows(), t.in, x);
  if (events.total() > kDensest * t.rows() * t.in) return false;
  if (events.total() == 0) return true;
  events.list(t.in, x);
  if (t.rows() <= kFewRows) {
    add_few(t, events, weight, out);
  } else if (const S only = only_value(t.rows() * t.in, x); only != S(0)) {
    add_many<true>(t, events, only, weight, out);
  } else {
    add_many<false>(t, events, S(1), weight, out);
  }
  return true;
}

// by_weight[k][j] = sum over rows with x[r][j] != 0 of x[r][j] * grad[r + shift(k)]. Threads share out the columns of
// the gradient, so that their number changes no sum.
template <bool kOne, typename S>
void weight_gradient(const Taps& t, const S* x, S scale, const S* grad, S* by_weight) {
  constexpr int64_t kWidth = Strips<S>::kWidth;
  std::vector<ByColumn<S>> blocks;
  for (int64_t start = 0; start < t.rows(); start += kTapGradRows)
    blocks.emplace_back(std::min(kTapGradRows, t.rows() - start), t.in, x + start * t.in);
  at::parallel_for(0, Strips<S>::count(t.out), 1, [&](int64_t begin, int64_t end) {
    std::vector<S> table(t.rows_out() * kWidth);
    for (int64_t strip = begin; strip < end; ++strip) {
      Strips<S>::copy(t.rows_out(), t.out, strip, scale, grad, table.data());
      for (int64_t block = 0; block < static_cast<int64_t>(blocks.size()); ++block)
        for (int64_t k = 0; k < t.taps; ++k) {
          const int64_t start = block * kTapGradRows, size = std::min(kTapGradRows, t.rows() - start);
          // Rows of this block whose output row exists.
          const int64_t low = std::max<int64_t>(0, -t.shift(k) - start);
          const int64_t high = std::min(size, t.rows_out() - t.shift(k) - start);
          if (low >= high) continue;
          const S* rows = table.data() + (start + t.shift(k)) * kWidth;  // in part before or behind the table
          const bool all = low == 0 && high == size;
          sum_rows<kOne>(0, t.in, std::min(kWidth, t.out - strip * kWidth), t.out, rows,
                   by_weight + k * t.in * t.out + strip * kWidth,
                   [&](int64_t j) { return all ? blocks[block].of(j) : blocks[block].of(j, low, high); });
        }
    }
  });
}

// `name`: of the rows that x is set against, (L', *, O).
Taps check_taps(const at::Tensor& x, const char* name, const at::Tensor& rows, int64_t taps, int64_t before) {
  const Checks check("x", x);
  TORCH_CHECK_VALUE(x.dim() >= 2 && x.size(-1) > 0, "x must be (L, *, I), got ", x.sizes());
  TORCH_CHECK_VALUE(taps >= 1, "taps must be at least 1, got ", taps);
  TORCH_CHECK_VALUE(before >= 0 && before < taps, "before must lie in [0, ", taps, "), got ", before);
  std::vector<int64_t> sizes = x.sizes().vec();
  if (rows.dim() == x.dim()) sizes.front() = rows.size(0), sizes.back() = rows.size(-1);
  check(name, rows, sizes);
  check_contiguous("x", x);
  check_contiguous(name, rows);
  const int64_t in = x.size(-1), middle = x.size(0) ? x.numel() / x.size(0) / in : 0;
  return {x.size(0), rows.size(0), middle, in, rows.size(-1), taps, before};
}

// Adds to `base` and returns true; or returns false, nothing done, where the input is too dense to gain.
bool add_taps(at::Tensor base, const at::Tensor& x, const at::Tensor& weight, int64_t before) {
  TORCH_CHECK_VALUE(weight.dim() == 3, "weight must be (K, I, O), got ", weight.sizes());
  const Taps t = check_taps(x, "base", base, weight.size(0), before);
  Checks("x", x)("weight", weight, {t.taps, t.in, t.out});
  check_contiguous("weight", weight);
  if (t.in > UINT16_MAX) return false;
  return AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "add_taps", [&] {
    return add_sparse<scalar_t>(t, x.const_data_ptr<scalar_t>(), weight.const_data_ptr<scalar_t>(),
                                base.data_ptr<scalar_t>());
  });
}

at::Tensor taps_weight_gradient(const at::Tensor& x, const at::Tensor& grad, int64_t taps, int64_t before) {
  const Taps t = check_taps(x, "grad", grad, taps, before);
  TORCH_CHECK_VALUE(taps <= std::numeric_limits<int32_t>::max() / std::max<int64_t>(1, t.in * t.out), "taps ", taps,
                    " of ", t.in, " to ", t.out, " are more than ", std::numeric_limits<int32_t>::max(), " weights");
  at::Tensor by_weight = at::zeros({taps, t.in, t.out}, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "taps_weight_gradient", [&] {
    const auto *from = x.const_data_ptr<scalar_t>(), *by_out = grad.const_data_ptr<scalar_t>();
    auto* to = by_weight.data_ptr<scalar_t>();
    const scalar_t only = only_value(x.numel(), from);
    if (only != scalar_t(0)) weight_gradient<true>(t, from, only, by_out, to);
    else weight_gradient<false>(t, from, scalar_t(1), by_out, to);
  });
  return by_weight;
}

}  // namespace

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) {
  m.impl("add_taps", &add_taps);
  m.impl("taps_weight_gradient", &taps_weight_gradient);
}

}  // namespace spikeseq
