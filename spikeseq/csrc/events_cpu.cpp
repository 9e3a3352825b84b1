// A linear map driven by events: for every spike one row of weights is read and added, and nothing else happens.
// base[r] += sum over j of x[r][j] times weight[j]; a count of spikes is that many additions. 8-bit weights are
// summed as whole numbers and scaled once per output.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <vector>

namespace spikeseq {
namespace {

constexpr int64_t kBlock = 64;        // outputs whose sums stay in registers
constexpr double kMostSpikes = 4096;  // of one value

// The neurons that fired, each as often as it did. False where a value is no number of spikes.
template <typename S>
bool events_of(const S* row, int64_t in, std::vector<int32_t>& events) {
  events.clear();
  for (int64_t j = 0; j < in; ++j) {
    const S value = row[j];
    if (value == S(0)) continue;
    if (!(value > S(0) && value <= S(kMostSpikes) && value == std::floor(value))) return false;
    events.insert(events.end(), static_cast<size_t>(value), static_cast<int32_t>(j));
  }
  return true;
}

// sums[0..width) += the rows of all events; with a constant width the sums stay in registers.
template <typename Sum, typename W>
inline void add_rows(const std::vector<int32_t>& events, const W* weight, int64_t out, int64_t width, Sum* sums) {
  for (const int32_t j : events) {
    const W* row = weight + j * out;
    for (int64_t c = 0; c < width; ++c) sums[c] += row[c];
  }
}

template <typename Sum, typename W>
inline void add_block(const std::vector<int32_t>& events, const W* weight, int64_t out, int64_t width, Sum* sums) {
  if (width == kBlock) add_rows(events, weight, out, kBlock, sums);
  else add_rows(events, weight, out, width, sums);
}

// For every row, `add(r, c, width, events)` for each block of outputs c..c + width. Returns the weights read; `bad`
// is set where a value is no number of spikes.
template <typename S, typename Add>
int64_t each_block(int64_t rows, int64_t in, int64_t out, const S* x, std::atomic<bool>& bad, const Add& add) {
  std::atomic<int64_t> reads{0};
  at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> events;
    int64_t seen = 0;
    for (int64_t r = begin; r < end; ++r) {
      if (!events_of(x + r * in, in, events)) { bad = true; return; }
      seen += events.size();
      for (int64_t c = 0; c < out; c += kBlock) add(r, c, std::min(kBlock, out - c), events);
    }
    reads += seen * out;
  });
  return reads;
}

template <typename S>
int64_t add_float(int64_t rows, int64_t in, int64_t out, const S* x, const S* weight, S* base, std::atomic<bool>& bad) {
  return each_block(rows, in, out, x, bad, [&](int64_t r, int64_t c, int64_t width, const std::vector<int32_t>& events) {
    S sums[kBlock];
    std::copy_n(base + r * out + c, width, sums);
    add_block<S, S>(events, weight + c, out, width, sums);
    std::copy_n(sums, width, base + r * out + c);
  });
}

template <typename S>
int64_t add_int8(int64_t rows, int64_t in, int64_t out, const S* x, const int8_t* weight, const S* scale, S* base,
                 std::atomic<bool>& bad) {
  return each_block(rows, in, out, x, bad, [&](int64_t r, int64_t c, int64_t width, const std::vector<int32_t>& events) {
    int32_t sums[kBlock] = {0};
    add_block<int32_t, int8_t>(events, weight + c, out, width, sums);
    for (int64_t i = 0; i < width; ++i) base[r * out + c + i] += scale[c + i] * static_cast<S>(sums[i]);
  });
}

// Adds to `base` (R, O); returns how many weights were read.
int64_t add_events(at::Tensor base, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale) {
  TORCH_CHECK_VALUE(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(0) && base.dim() == 2 &&
                        base.size(0) == x.size(0) && base.size(1) == weight.size(1),
                    "events take x (R, I), weight (I, O) and base (R, O), got ", x.sizes(), ", ", weight.sizes(),
                    " and ", base.sizes());
  TORCH_CHECK_VALUE(x.is_contiguous() && base.is_contiguous() && weight.is_contiguous() && scale.is_contiguous(),
                    "events take contiguous tensors");
  const int64_t rows = x.size(0), in = x.size(1), out = weight.size(1);
  std::atomic<bool> bad{false};
  const bool small = weight.scalar_type() == at::kChar;
  TORCH_CHECK_TYPE(x.scalar_type() == base.scalar_type() && (small ? scale : weight).scalar_type() == x.scalar_type(),
                   "events take one floating type, got x ", x.scalar_type(), ", base ", base.scalar_type());
  TORCH_CHECK_VALUE(!small || scale.numel() == out, "scale must have ", out, " values, got ", scale.numel());
  const int64_t reads = AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "add_events", [&] {
    const auto* given = x.const_data_ptr<scalar_t>();
    auto* made = base.data_ptr<scalar_t>();
    return small ? add_int8<scalar_t>(rows, in, out, given, weight.const_data_ptr<int8_t>(),
                                      scale.const_data_ptr<scalar_t>(), made, bad)
                 : add_float<scalar_t>(rows, in, out, given, weight.const_data_ptr<scalar_t>(), made, bad);
  });
  TORCH_CHECK_VALUE(!bad, "events are numbers of spikes (0, 1, ...), got other values");
  return reads;
}

}  // namespace

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) { m.impl("add_events", &add_events); }

}  // namespace spikeseq
