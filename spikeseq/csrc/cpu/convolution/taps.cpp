// A convolution over tokens whose input is mostly zero, as spikes are: only the rows of weights are read whose
// neuron fired. out[r + shift(k)] += sum over j with x[r][j] != 0 of x[r][j] * weight[k][j], rows being all
// middle dimensions of (L, *, I) flattened, so that a tap is a shift of whole rows.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "../../checks.h"
#include "../memory.h"
#include "../../vectors.h"

namespace spikeseq {
namespace {

// Past this share of non-zeros a dense matrix product is as fast.
constexpr double kDensest = 0.3;
constexpr int64_t kRows = 64;         // output rows whose sums stay in cache while a tap's weights are read
constexpr int64_t kTapGradRows = 128;  // rows whose gradients stay in cache while all neurons read them

struct Taps {
  int64_t given, made, middle, in, out, taps, before;
  int64_t shift(int64_t k) const { return (before - k) * middle; }  // from input row to output row
};

// to[0..N vectors) += sum over i of value[i] * rows[i], the sums in registers.
template <int N, typename S>
inline void gather_values(int64_t count, const uint16_t* index, const S* values, const S* rows, int64_t stride, S* to) {
  constexpr int64_t kLanes = 32 / sizeof(S);
  typename Vector<S>::Lanes sums[N];
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) sums[n] = Vector<S>::load(to + n * kLanes);
  for (int64_t i = 0; i < count; ++i) {
    const S value = values[index[i]];
    const S* row = rows + index[i] * stride;
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) sums[n] += value * Vector<S>::load(row + n * kLanes);
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) Vector<S>::store(to + n * kLanes, sums[n]);
}

template <typename S, int N>
void add_value_rows(std::integral_constant<int, N>, int64_t left, int64_t count, const uint16_t* index, const S* values,
              const S* rows, int64_t stride, S* to) {
  if constexpr (N > 0) {
    gather_values<N>(count, index, values, rows, stride, to);
  } else {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t c = 0; c < left; ++c) to[c] += values[index[i]] * rows[index[i] * stride + c];
  }
}

// Where each row is not zero: `index` holds up to `in` places a row, `counts` how many. Returns the total.
template <typename S>
int64_t places(const Taps& t, const S* x, uint16_t* index, int64_t* counts) {
  std::atomic<int64_t> total{0};
  at::parallel_for(0, t.given * t.middle, 256, [&](int64_t begin, int64_t end) {
    int64_t sum = 0;
    for (int64_t r = begin; r < end; ++r) {
      const S* row = x + r * t.in;
      uint16_t* places = index + r * t.in;
      int64_t n = 0;
      for (int64_t j = 0; j < t.in; ++j) {
        places[n] = static_cast<uint16_t>(j);
        n += row[j] != S(0);
      }
      counts[r] = n;
      sum += n;
    }
    total += sum;
  });
  return total;
}

template <typename S>
bool add_sparse(const Taps& t, const S* x, const S* weight, S* out) {
  const int64_t rows = t.given * t.middle;
  const at::Tensor index = empty_kept({rows * t.in + 1}, at::kShort);
  std::vector<int64_t> counts(rows);
  auto* places_of = reinterpret_cast<uint16_t*>(index.data_ptr<int16_t>());
  if (places(t, x, places_of, counts.data()) > kDensest * rows * t.in) return false;
  const int64_t blocks = (t.made * t.middle + kRows - 1) / kRows;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t k = 0; k < t.taps; ++k) {
        const int64_t first = std::max(block * kRows, t.shift(k));
        const int64_t last = std::min({(block + 1) * kRows, t.made * t.middle, rows + t.shift(k)});
        over_columns<S>(t.out, [&](int64_t c, auto n) {
          for (int64_t to = first; to < last; ++to) {
            const int64_t r = to - t.shift(k);
            add_value_rows<S>(n, t.out - c, counts[r], places_of + r * t.in, x + r * t.in,
                        weight + k * t.in * t.out + c, t.out, out + to * t.out + c);
          }
        });
      }
  });
  return true;
}

// by_weight[k][j] = sum over rows with x[r][j] != 0 of x[r][j] * grad[r + shift(k)].
template <typename S>
void weight_gradient(const Taps& t, const S* x, const S* grad, S* by_weight) {
  const int64_t rows = t.given * t.middle;
  at::parallel_for(0, t.in, std::max<int64_t>(8, t.in / at::get_num_threads()), [&](int64_t begin, int64_t end) {
    const int64_t width = end - begin;
    std::vector<uint16_t> index(width * kTapGradRows);
    std::vector<S> values(width * kTapGradRows);
    std::vector<int64_t> counts(width);
    for (int64_t start = 0; start < rows; start += kTapGradRows) {
      const int64_t size = std::min(kTapGradRows, rows - start);
      std::fill(counts.begin(), counts.end(), 0);
      for (int64_t r = 0; r < size; ++r) {
        const S* row = x + (start + r) * t.in + begin;
        for (int64_t j = 0; j < width; ++j) {
          index[j * kTapGradRows + counts[j]] = static_cast<uint16_t>(r);
          values[j * kTapGradRows + r] = row[j];
          counts[j] += row[j] != S(0);
        }
      }
      for (int64_t k = 0; k < t.taps; ++k) {
        // Rows of this block whose output row exists.
        const int64_t low = -t.shift(k) - start, high = t.made * t.middle - t.shift(k) - start;
        over_columns<S>(t.out, [&](int64_t c, auto n) {
          const S* rows_of = grad + (start + t.shift(k)) * t.out + c;
          for (int64_t j = 0; j < width; ++j) {
            const uint16_t* from = &index[j * kTapGradRows];
            const uint16_t* to = from + counts[j];
            if (low > 0) from = std::lower_bound(from, to, low);
            if (high < size) to = std::lower_bound(from, to, high);
            if (from < to)
              add_value_rows<S>(n, t.out - c, to - from, from, &values[j * kTapGradRows], rows_of, t.out,
                          by_weight + (k * t.in + begin + j) * t.out + c);
          }
        });
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
    weight_gradient<scalar_t>(t, x.const_data_ptr<scalar_t>(), grad.const_data_ptr<scalar_t>(),
                              by_weight.data_ptr<scalar_t>());
  });
  return by_weight;
}

}  // namespace

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) {
  m.impl("add_taps", &add_taps);
  m.impl("taps_weight_gradient", &taps_weight_gradient);
}

}  // namespace spikeseq
