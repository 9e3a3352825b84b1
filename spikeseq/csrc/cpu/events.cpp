// A linear map driven by events: for every spike one row of weights is read and added, and nothing else happens.
// base[r] += sum over j of x[r][j] times weight[j]; a count of spikes is that many additions. 8-bit weights are
// summed as whole numbers and scaled once per output.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../checks.h"
#include "events.h"

namespace spikeseq {
namespace {

constexpr int32_t kMostSpikes = 4096;  // of one value
constexpr int64_t kMostOfRow = 1 << 24;  // that many 8-bit weights sum up to at most 2^31
constexpr int64_t kMostNeurons = 1 << 22;  // whose spikes, counted in 8 lanes, fit 32 bits
constexpr double kRounding = 1e-4;     // a mean times its count is no whole number to the last bit

// The spikes of one row of neurons after the other.
class Events {
 public:
  explicit Events(int64_t in) : in_(in), counts_(in + kGroup), neurons_(in + kGroup) {}

  // The neurons that fired, each as often as it did; no branch depends on a single neuron. False where a value is
  // no number of spikes, or the row has too many.
  template <typename S>
  bool read(const S* row) {
    Counts good = ~Counts{};
    Totals spikes{};  // without a sign: a value that is no number of spikes may be any
    int32_t *kept = counts_.data(), *neurons = neurons_.data();
    int64_t size = 0;
    for (int64_t j = 0; j < in_; j += kGroup) {
      Values<S> given{};
      if (in_ - j >= kGroup) std::memcpy(&given, row + j, sizeof given);  // of a constant size, which is a load
      else std::memcpy(&given, row + j, sizeof(S) * (in_ - j));
      const Counts counts = __builtin_convertvector(given + S(0.5), Counts);
      const Values<S> off = given - __builtin_convertvector(counts, Values<S>);
      good &= __builtin_convertvector((off <= S(kRounding)) & (off >= S(-kRounding)), Counts);
      good &= (counts >= 0) & (counts <= kMostSpikes);
      spikes += reinterpret_cast<Totals>(counts);
      Vector<int32_t>::store(kept + j, counts);
      size = append_fired(counts > 0, j, neurons, size);
    }
    size_ = size;
    int64_t all = 0;
    for (int i = 0; i < kGroup; ++i) {
      if (!good[i]) return false;
      all += spikes[i];
    }
    if (all > kMostOfRow) return false;
    if (size_ < all) again(all);
    return true;
  }

  int64_t size() const { return size_; }
  const int32_t* neurons() const { return neurons_.data(); }

 private:
  typedef uint32_t Totals __attribute__((vector_size(kGroup * sizeof(uint32_t))));
  template <typename S>
  using Values __attribute__((vector_size(kGroup * sizeof(S)))) = S;

  // Neurons that fired more than once.
  void again(int64_t all) {
    if (static_cast<int64_t>(neurons_.size()) < all + kGroup) neurons_.resize(all + kGroup);
    for (int64_t j = 0; j < in_; ++j)
      for (int32_t more = 1; more < counts_[j]; ++more) neurons_[size_++] = static_cast<int32_t>(j);
  }

  int64_t in_, size_ = 0;
  std::vector<int32_t> counts_, neurons_;  // by neuron; in the order read. Both have room for a group past the last
};

// For every row, `add(r, events, sums)`, with room for the sums of 8-bit weights. Returns the weights read; `bad` is
// set where a value is no number of spikes.
template <typename S, typename Add>
int64_t each_row(int64_t rows, int64_t in, int64_t out, const S* x, std::atomic<bool>& bad, const Add& add) {
  std::atomic<int64_t> reads{0};
  at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
    Events events(in);
    std::vector<int32_t> sums(out);
    int64_t seen = 0;
    for (int64_t r = begin; r < end; ++r) {
      if (!events.read(x + r * in)) { bad = true; return; }
      seen += events.size();
      add(r, events, sums);
    }
    reads += seen * out;
  });
  return reads;
}

template <typename S>
int64_t add_float(int64_t rows, int64_t in, int64_t out, const S* x, const S* weight, S* base, std::atomic<bool>& bad) {
  return each_row(rows, in, out, x, bad, [&](int64_t r, const Events& events, auto&) {
    add_rows(events.neurons(), events.size(), weight, out, base + r * out);
  });
}

template <typename S>
int64_t add_int8(int64_t rows, int64_t in, int64_t out, const S* x, const int8_t* weight, const S* scale, S* base,
                 std::atomic<bool>& bad) {
  return each_row(rows, in, out, x, bad, [&](int64_t r, const Events& events, std::vector<int32_t>& sums) {
    std::fill(sums.begin(), sums.end(), 0);
    add_rows(events.neurons(), events.size(), weight, out, sums.data());
    for (int64_t i = 0; i < out; ++i) base[r * out + i] += scale[i] * static_cast<S>(sums[i]);
  });
}

// Adds to `base` (R, O); returns how many weights were read.
int64_t add_events(at::Tensor base, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale) {
  const Checks check("x", x);
  TORCH_CHECK_VALUE(x.dim() == 2, "x must be (R, I), got ", x.sizes());
  TORCH_CHECK_VALUE(weight.dim() == 2, "weight must be (I, O), got ", weight.sizes());
  const int64_t rows = x.size(0), in = x.size(1), out = weight.size(1);
  TORCH_CHECK_VALUE(in < kMostNeurons, "x must have fewer than ", kMostNeurons, " columns, got ", in);
  const bool small = weight.scalar_type() == at::kChar;
  check.of_type("weight", weight, {in, out}, small ? at::kChar : check.type);
  check("base", base, {rows, out});
  if (small) check("scale", scale, {out});
  check_contiguous("x", x);
  check_contiguous("weight", weight);
  check_contiguous("base", base);
  check_contiguous("scale", scale);
  std::atomic<bool> bad{false};
  const int64_t reads = AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "add_events", [&] {
    const auto* given = x.const_data_ptr<scalar_t>();
    auto* made = base.data_ptr<scalar_t>();
    return small ? add_int8<scalar_t>(rows, in, out, given, weight.const_data_ptr<int8_t>(),
                                      scale.const_data_ptr<scalar_t>(), made, bad)
                 : add_float<scalar_t>(rows, in, out, given, weight.const_data_ptr<scalar_t>(), made, bad);
  });
  TORCH_CHECK_VALUE(!bad, "events are numbers of spikes, 0 to ", kMostSpikes, " of a neuron and at most ", kMostOfRow,
                    " of a row; got other values");
  return reads;
}

}  // namespace

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) { m.impl("add_events", &add_events); }

}  // namespace spikeseq
