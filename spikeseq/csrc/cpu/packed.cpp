// Spikes as bits, and matrix products with them: only the rows of weights are read whose neuron fired. A row of
// neurons takes ceil(I / 8) bytes, neuron j bit j % 8 of byte j / 8. All spikes of a tensor have one value, the scale.
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "../checks.h"
#include "events.h"
#include "memory.h"

namespace spikeseq {
namespace {

constexpr int64_t kPackGrain = 256, kSumGrain = 64;  // rows that a thread is worth waking for
constexpr int64_t kGradRows = 256;                   // rows whose gradients stay in cache while all neurons read them

// ---- to bits and back

// Bit i: whether from[i] is not zero; `other` gets set bits where it is neither zero nor `scale`.
template <typename S>
inline uint8_t byte_of(const S* from, int64_t n, S scale, bool& other) {
  uint32_t bits = 0;
  if (n == kGroup) {
    typedef S Values __attribute__((vector_size(kGroup * sizeof(S))));
    Values v;
    std::memcpy(&v, from, sizeof v);
    const Counts set = __builtin_convertvector(v != S(0), Counts);
    const Counts odd = set & ~__builtin_convertvector(v == scale, Counts);
#ifdef __AVX2__
    bits = _mm256_movemask_ps(reinterpret_cast<__m256>(set));
    other |= _mm256_movemask_ps(reinterpret_cast<__m256>(odd)) != 0;
#else
    for (int i = 0; i < kGroup; ++i) {
      bits |= static_cast<uint32_t>(set[i] < 0) << i;
      other |= odd[i] < 0;
    }
#endif
  } else {
    for (int64_t i = 0; i < n; ++i) {
      bits |= static_cast<uint32_t>(from[i] != S(0)) << i;
      other |= from[i] != S(0) && from[i] != scale;
    }
  }
  return static_cast<uint8_t>(bits);
}

// The inverse: n values, `scale` where a bit is set.
template <typename S>
inline void spread(uint8_t bits, S scale, int64_t n, S* to) {
  typedef S Values __attribute__((vector_size(kGroup * sizeof(S))));
  constexpr Counts kBit = {1, 2, 4, 8, 16, 32, 64, 128};
  const Counts set = ((Counts{} + bits) & kBit) != 0;
  const Values v = __builtin_convertvector(set, Values) != S(0) ? Values{} + scale : Values{};
  std::memcpy(to, &v, n * sizeof(S));
}

// The first value that is not zero; 1 where there is none.
template <typename S>
S scale_of(const S* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (x[i] != S(0)) return x[i];
  return S(1);
}

int64_t bytes_of(int64_t neurons) { return neurons / 8 + (neurons % 8 > 0); }

// (bits, scale, how many fired); the last is -1, and the bits are of no use, where x holds more than one value.
std::tuple<at::Tensor, double, int64_t> pack_spikes(const at::Tensor& x) {
  const Checks check("x", x);
  TORCH_CHECK_VALUE(x.dim() == 2 && x.size(1) > 0, "x must be (R, I), got ", x.sizes());
  check_contiguous("x", x);
  const int64_t rows = x.size(0), in = x.size(1), bytes = bytes_of(in);
  at::Tensor bits = empty_kept({rows, bytes}, x.options().dtype(at::kByte));
  std::atomic<int64_t> fired{0};
  std::atomic<bool> mixed{false};
  double scale = 1;
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "pack_spikes", [&] {
    const scalar_t* from = x.const_data_ptr<scalar_t>();
    const scalar_t value = scale_of(from, rows * in);
    scale = value;
    uint8_t* to = bits.data_ptr<uint8_t>();
    at::parallel_for(0, rows, kPackGrain, [&](int64_t begin, int64_t end) {
      int64_t count = 0;
      bool other = false;
      for (int64_t r = begin; r < end && !other; ++r)
        for (int64_t b = 0; b < bytes; ++b) {
          const uint8_t byte = byte_of(from + r * in + b * 8, std::min<int64_t>(8, in - b * 8), value, other);
          to[r * bytes + b] = byte;
          count += kPlaces.count[byte];
        }
      fired += count;
      if (other) mixed = true;
    });
  });
  return {bits, scale, mixed ? -1 : fired.load()};
}

// `like`: what is on the other side of the bits.
Checks check_bits(const at::Tensor& bits, int64_t in, const char* name, const at::Tensor& like) {
  const Checks check(name, like);
  TORCH_CHECK_VALUE(in > 0, "size must be at least 1, got ", in);
  TORCH_CHECK_VALUE(bits.dim() == 2, "bits must be (R, ", bytes_of(in), "), got ", bits.sizes());
  check.of_type("bits", bits, {bits.size(0), bytes_of(in)}, at::kByte);
  check_contiguous("bits", bits);
  return check;
}

at::Tensor unpack_spikes(const at::Tensor& bits, int64_t in, const at::Tensor& like, double scale) {
  check_bits(bits, in, "like", like);
  const int64_t rows = bits.size(0), bytes = bits.size(1);
  at::Tensor x = empty_kept({rows, in}, like.options());
  AT_DISPATCH_FLOATING_TYPES(like.scalar_type(), "unpack_spikes", [&] {
    const uint8_t* from = bits.const_data_ptr<uint8_t>();
    scalar_t* to = x.data_ptr<scalar_t>();
    at::parallel_for(0, rows, kPackGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t b = 0; b < bytes; ++b)
          spread(from[r * bytes + b], static_cast<scalar_t>(scale), std::min<int64_t>(8, in - b * 8),
                 to + r * in + b * 8);
    });
  });
  return x;
}

// ---- products

// The neurons of bytes [0, bytes) that fired, counted from `first` on.
inline int64_t list_fired(const uint8_t* bits, int64_t bytes, int32_t first, int32_t* neurons) {
  int64_t size = 0;
  for (int64_t b = 0; b < bytes; ++b) {
    Vector<int32_t>::store(neurons + size,
                           widened<int32_t>(kPlaces.at[bits[b]]) + static_cast<int32_t>(first + 8 * b));
    size += kPlaces.count[bits[b]];
  }
  return size;
}

// spikes (R, I) @ weight (I, O) + bias (O,), spikes of value 1.
at::Tensor packed_product(const at::Tensor& bits, int64_t in, const at::Tensor& weight,
                          const std::optional<at::Tensor>& bias_) {
  const Checks check = check_bits(bits, in, "weight", weight);
  TORCH_CHECK_VALUE(weight.dim() == 2 && weight.size(0) == in, "weight must be (", in, ", O), got ", weight.sizes());
  const int64_t rows = bits.size(0), out = weight.size(1), bytes = bits.size(1);
  check("bias", bias_, {out});
  check_contiguous("weight", weight);
  const at::Tensor bias = bias_ ? bias_->contiguous() : at::zeros({out}, weight.options());
  std::atomic<bool> beyond{false};  // a bit for a neuron that there is not
  at::Tensor product = empty_kept({rows, out}, weight.options());
  AT_DISPATCH_FLOATING_TYPES(weight.scalar_type(), "packed_product", [&] {
    const uint8_t* from = bits.const_data_ptr<uint8_t>();
    const scalar_t* w = weight.const_data_ptr<scalar_t>();
    const scalar_t* b = bias.const_data_ptr<scalar_t>();
    scalar_t* to = product.data_ptr<scalar_t>();
    at::parallel_for(0, rows, kSumGrain, [&](int64_t begin, int64_t end) {
      std::vector<int32_t> neurons(8 * bytes + kGroup);
      for (int64_t r = begin; r < end; ++r) {
        if (in % 8 && from[(r + 1) * bytes - 1] >> in % 8) { beyond = true; return; }
        const int64_t count = list_fired(from + r * bytes, bytes, 0, neurons.data());
        std::copy_n(b, out, to + r * out);
        add_rows(neurons.data(), count, w, out, to + r * out);
      }
    });
  });
  TORCH_CHECK_VALUE(!beyond, "bits must be those of ", in, " neurons, got one that is set behind them");
  return product;
}

// spikes (R, I) transposed @ grad (R, O), spikes of value 1. Threads share out the neurons, so that their number
// changes no sum.
at::Tensor packed_weight_gradient(const at::Tensor& bits, const at::Tensor& grad, int64_t in) {
  check_bits(bits, in, "grad", grad);
  TORCH_CHECK_VALUE(grad.dim() == 2 && grad.size(0) == bits.size(0), "grad must be (", bits.size(0), ", O), got ",
                    grad.sizes());
  check_contiguous("grad", grad);
  const int64_t rows = grad.size(0), out = grad.size(1), bytes = bits.size(1);
  at::Tensor by_weight = at::zeros({in, out}, grad.options());
  AT_DISPATCH_FLOATING_TYPES(grad.scalar_type(), "packed_weight_gradient", [&] {
    const uint8_t* from = bits.const_data_ptr<uint8_t>();
    const scalar_t* g = grad.const_data_ptr<scalar_t>();
    scalar_t* to = by_weight.data_ptr<scalar_t>();
    const int64_t share = (bytes + at::get_num_threads() - 1) / at::get_num_threads();
    at::parallel_for(0, bytes, share, [&](int64_t begin, int64_t end) {
      const int64_t first = 8 * begin, width = std::min(8 * end, in) - first;
      std::vector<int32_t> rows_of(8 * (end - begin) * kGradRows), fired(8 * (end - begin) + kGroup);
      std::vector<int64_t> counts(8 * (end - begin));
      std::vector<scalar_t> sum(out);
      for (int64_t start = 0; start < rows; start += kGradRows) {
        std::fill(counts.begin(), counts.end(), 0);
        for (int64_t r = start; r < std::min(rows, start + kGradRows); ++r) {
          const int64_t count = list_fired(from + r * bytes + begin, end - begin, 0, fired.data());
          for (int64_t i = 0; i < count; ++i)
            rows_of[fired[i] * kGradRows + counts[fired[i]]++] = static_cast<int32_t>(r - start);
        }
        for (int64_t j = 0; j < width; ++j) {
          std::fill(sum.begin(), sum.end(), scalar_t(0));  // a sum of sums loses less to rounding
          add_rows(&rows_of[j * kGradRows], counts[j], g + start * out, out, sum.data());
          scalar_t* row = to + (first + j) * out;
          for (int64_t k = 0; k < out; ++k) row[k] += sum[k];
        }
      }
    });
  });
  return by_weight;
}

}  // namespace

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) {
  m.impl("empty_kept", [](at::IntArrayRef sizes, const at::Tensor& like) { return empty_kept(sizes, like.options()); });
  m.impl("pack_spikes", &pack_spikes);
  m.impl("unpack_spikes", &unpack_spikes);
  m.impl("packed_product", &packed_product);
  m.impl("packed_weight_gradient", &packed_weight_gradient);
}

}  // namespace spikeseq
