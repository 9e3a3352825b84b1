// Inference by layers of LIF neurons in one call, for streams and single sequences: every sequence is followed through
// all layers, a few sub-steps at a time, with membranes and spikes in cache. Only weights of neurons that fired are read;
// no gradients, nothing is kept.
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "../binding.h"
#include "../problem.h"
#include "events.h"
#include "memory.h"
#include "rows.h"
#include "stack.h"
#include "../vectors.h"

namespace spikeseq {
namespace {

constexpr int64_t kShort = 64;  // sub-steps of all sequences together
constexpr int64_t kFew = 4;     // tokens of all sequences together

template <typename S>
struct Layer {
  int64_t size;
  const S *weight, *bias;  // (inputs, size), a row for each neuron of the layer before; none of the first layer
  bool turned;             // weight is (size, inputs) instead: for short runs, turning it would cost more than it saves
  std::vector<S> leak, threshold;
};

// The spikes of a layer in a block of sub-steps: bit t of a neuron's word is the spike at the t-th. A layer does the
// whole block before the next one begins, which then reads its weights once.
template <typename S>
struct FiredSteps {
  using Word = std::conditional_t<sizeof(S) == 4, int32_t, int64_t>;
  using V = Vector<S>;
  using Words = typename Vector<Word>::Lanes;
  static constexpr int64_t kSteps = V::kLanes;

  int64_t n;
  std::vector<Word> words, masks;
  std::vector<int32_t> neurons;

  explicit FiredSteps(int64_t n) : n(n), words(n), masks(n * kSteps), neurons(n + kGroup) {}

  void clear() { std::fill(words.begin(), words.end(), Word(0)); }

  void mark(const S* u, const S* threshold, int64_t t) {
    Word* w = words.data();
    const Word bit = Word(1) << t;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) w[j] |= fires(u[j], threshold[j]) ? bit : Word(0);
  }

  // to (steps, n) = the bias and the weights of what fired at each sub-step, added in the order of the neurons. Returns how
  // many spikes there were.
  int64_t currents(const Layer<S>& layer, int64_t steps, S* to) {
    if (layer.turned) return by_columns(layer, steps, to);
    int64_t spikes = 0;
    for (int64_t t = 0; t < steps; ++t, to += n) {
      int64_t count = 0;
      for (int64_t j = 0; j < n; ++j) {
        neurons[count] = static_cast<int32_t>(j);
        count += words[j] >> t & 1;
      }
      if (layer.bias) std::copy_n(layer.bias, n, to);
      else std::fill_n(to, n, S(0));
      add_rows(neurons.data(), count, layer.weight, n, to);
      spikes += count;
    }
    return spikes;
  }

 private:
  // The sub-steps lie side by side in a vector; so many sums at once that none waits for itself.
  int64_t by_columns(const Layer<S>& layer, int64_t steps, S* to) {
    constexpr int64_t kRows = 8;
    Words bit;
    for (int64_t t = 0; t < kSteps; ++t) bit[t] = Word(1) << t;
    int64_t count = 0, spikes = 0;
    for (int64_t j = 0; j < n; ++j) {
      spikes += __builtin_popcountll(static_cast<uint64_t>(words[j]));
      const Words mask = ((words[j] & bit) != 0);
      std::memcpy(&masks[count * kSteps], &mask, sizeof mask);
      neurons[count] = static_cast<int32_t>(j);
      count += words[j] != 0;
    }
    for (int64_t k = 0; k < n; k += kRows) {
      const S* rows[kRows];
      typename V::Lanes sums[kRows];
      for (int64_t r = 0; r < kRows; ++r) {
        const int64_t row = std::min(k + r, n - 1);  // the last ones are summed again and not stored
        rows[r] = layer.weight + row * n;
        sums[r] = typename V::Lanes{} + (layer.bias ? layer.bias[row] : S(0));
      }
      for (int64_t i = 0; i < count; ++i) {
        const Words mask = Vector<Word>::load(&masks[i * kSteps]);
#pragma GCC unroll 8
        for (int64_t r = 0; r < kRows; ++r) {
          const typename V::Lanes weight = typename V::Lanes{} + rows[r][neurons[i]];
          sums[r] += reinterpret_cast<typename V::Lanes>(reinterpret_cast<Words>(weight) & mask);
        }
      }
      for (int64_t r = 0; r < std::min(kRows, n - k); ++r)
        for (int64_t t = 0; t < steps; ++t) to[t * n + k + r] = sums[r][t];
    }
    return spikes;
  }
};

// Currents of the first layer, x (L, B, I) by weight (H, I). For a few tokens the loop below is done before a library
// has decided how to multiply.
template <typename S>
at::Tensor first_currents(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  using V = Vector<S>;
  constexpr int kSums = 4;
  const int64_t rows = x.size(0) * x.size(1), inputs = x.size(2), n = weight.size(0), step = kSums * V::kLanes;
  if (rows > kFew || !x.is_contiguous() || !weight.is_contiguous()) return at::linear(x, weight, bias).contiguous();
  at::Tensor out = at::empty({x.size(0), x.size(1), n}, x.options());
  const S *from = x.const_data_ptr<S>(), *start = bias ? bias->const_data_ptr<S>() : nullptr;
  S* to = out.data_ptr<S>();
  for (int64_t k = 0; k < n; ++k) {
    const S* w = weight.const_data_ptr<S>() + k * inputs;
    for (int64_t r = 0; r < rows; ++r) {
      const S* values = from + r * inputs;
      typename V::Lanes sums[kSums] = {};
      int64_t j = 0;
      for (; j + step <= inputs; j += step)
        for (int s = 0; s < kSums; ++s) sums[s] += V::load(w + j + s * V::kLanes) * V::load(values + j + s * V::kLanes);
      const typename V::Lanes lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
      S sum = start ? start[k] : S(0);
      for (int64_t i = 0; i < V::kLanes; ++i) sum += lanes[i];
      for (; j < inputs; ++j) sum += w[j] * values[j];
      to[r * n + k] = sum;
    }
  }
  return out;
}

// Sequence b: currents of the first layer (L, B, H) to read-outs, its membranes (layers, B, H) moved on. The spikes that
// reached each layer are added to `arrived`.
template <typename S>
void run_one(const std::vector<Layer<S>>& layers, const Rows<S>& rows, Readout readout, int64_t substeps,
             int64_t tokens, int64_t batch, int64_t b, const S* current, S* membranes, S* out,
             int64_t* arrived) {
  const int64_t n = layers[0].size, most = FiredSteps<S>::kSteps;
  std::vector<S> input(most * n), next(n), count(n, S(0));
  FiredSteps<S> block(n);
  const S* threshold = layers.back().threshold.data();
  const auto read_out = [&](int64_t l, int64_t t, const S* u) {
    S* o = out + (l * batch + b) * n;
    if (readout == Readout::spikes) {
      o = out + ((l * substeps + t) * batch + b) * n;
      for (int64_t j = 0; j < n; ++j) o[j] = fires(u[j], threshold[j]) ? S(1) : S(0);
    } else if (readout == Readout::rate) {
      for (int64_t j = 0; j < n; ++j) count[j] += fires(u[j], threshold[j]) ? S(1) : S(0);
      if (t + 1 < substeps) return;
      for (int64_t j = 0; j < n; ++j) o[j] = count[j] / S(substeps);
      std::fill(count.begin(), count.end(), S(0));
    } else if (t + 1 == substeps) {
      std::copy_n(u, n, o);
    }
  };
  for (int64_t l = 0; l < tokens; ++l) {
    for (int64_t start = 0; start < substeps; start += most) {
      const int64_t steps = std::min(most, substeps - start);
      for (size_t i = 0; i < layers.size(); ++i) {
        const Layer<S>& layer = layers[i];
        S* u = membranes + (i * batch + b) * n;
        if (i > 0) arrived[i] += block.currents(layer, steps, input.data());
        block.clear();
        for (int64_t t = 0; t < steps; ++t) {
          const S* given = i > 0 ? input.data() + t * n : current + (l * batch + b) * n;
          rows.update(n, u, given, layer.leak.data(), layer.threshold.data(), next.data());
          std::copy_n(next.data(), n, u);
          if (i + 1 < layers.size()) block.mark(u, layer.threshold.data(), t);
          else read_out(l, start + t, u);
        }
      }
    }
  }
}

void check_stack(const at::Tensor& x, const at::Tensor& state, const at::TensorList weights, const at::TensorList biases,
                 const at::TensorList leaks, const at::TensorList thresholds, int64_t substeps) {
  const size_t count = weights.size();
  TORCH_CHECK_VALUE(count > 0 && leaks.size() == count && thresholds.size() == count &&
                        (biases.empty() || biases.size() == count),
                    "a stack takes a weight, a leak and a threshold of every layer, and biases of all or none");
  TORCH_CHECK_VALUE(x.dim() == 3 && weights[0].dim() == 2, "x must be (L, B, I) and weights (H, I), got ", x.sizes(),
                    " and ", weights[0].sizes());
  const int64_t n = weights[0].size(0);
  const Checks check("x", x);
  TORCH_CHECK_VALUE(weights[0].size(1) > 0 || x.size(2) == n, "x must hold the currents of ", n, " neurons, got ", x.sizes());
  check_steps(x.size(0), substeps, 1, true);
  check("state", state, {static_cast<int64_t>(count), x.size(1), n});
  for (size_t i = 0; i < count; ++i) {
    const int64_t layer = static_cast<int64_t>(i);
    check("weight", weights[i], {n, i > 0 ? n : weights[0].size(1) > 0 ? x.size(2) : 0}, layer);
    if (!biases.empty()) check("bias", biases[i], {n}, layer);
    check.channels("leak", leaks[i], n, layer);
    check.channels("threshold", thresholds[i], n, layer);
  }
}

}  // namespace

// Also, of each layer, how many spikes reached it.
std::tuple<at::Tensor, at::Tensor, std::vector<int64_t>> lif_stack_counted(
    const at::Tensor& x, const at::Tensor& state, const at::TensorList weights, const at::TensorList biases,
    const at::TensorList leaks, const at::TensorList thresholds, double smallest_threshold, int64_t substeps,
    std::string_view reset, std::string_view readout) {
  check_stack(x, state, weights, biases, leaks, thresholds, substeps);
  const int64_t tokens = x.size(0), batch = x.size(1), n = weights[0].size(0);
  const Choice choice = choice_of(reset, readout, "piecewise_linear", 1, 1, false);
  const std::optional<at::Tensor> bias = biases.empty() ? std::optional<at::Tensor>() : biases[0].contiguous();
  at::Tensor membranes = state.clone(at::MemoryFormat::Contiguous);
  at::Tensor out = empty_kept({choice.readout == Readout::spikes ? tokens * substeps : tokens, batch, n}, x.options());
  const bool turned = tokens * batch * substeps < kShort;
  std::vector<at::Tensor> own;  // what the layers point into
  const int64_t count = static_cast<int64_t>(weights.size());
  std::vector<int64_t> by_sequence(batch * count, 0), arrived(count, 0);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "lif_stack", [&] {
    using S = scalar_t;
    const auto values = [&](const at::Tensor& t) {
      own.push_back(t.contiguous());
      return own.back().const_data_ptr<S>();
    };
    const at::Tensor first = weights[0].size(1) > 0 ? first_currents<S>(x, weights[0], bias) : x.contiguous();
    std::vector<Layer<S>> layers;
    for (size_t i = 0; i < weights.size(); ++i) {
      layers.push_back({n, nullptr, nullptr, turned, bounded<S>("leak", leaks[i].contiguous(), n, S(0), S(1)),
                        bounded<S>("threshold", thresholds[i].contiguous(), n, S(smallest_threshold),
                                   std::numeric_limits<S>::max())});
      if (i == 0) continue;  // whose currents there are
      layers[i].weight = values(turned ? weights[i] : weights[i].t());
      if (!biases.empty()) layers[i].bias = values(biases[i]);
    }
    const Rows<S> rows(choice);
    at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b)
        run_one(layers, rows, choice.readout, substeps, tokens, batch, b, first.const_data_ptr<S>(),
                membranes.data_ptr<S>(), out.data_ptr<S>(), &by_sequence[b * count]);
    });
  });
  for (int64_t i = 0; i < batch * count; ++i) arrived[i % count] += by_sequence[i];
  return {out, membranes, arrived};
}

std::tuple<at::Tensor, at::Tensor> lif_stack(
    const at::Tensor& x, const at::Tensor& state, const at::TensorList weights, const at::TensorList biases,
    const at::TensorList leaks, const at::TensorList thresholds, double smallest_threshold, int64_t substeps,
    std::string_view reset, std::string_view readout) {
  auto [out, membranes, arrived] = lif_stack_counted(x, state, weights, biases, leaks, thresholds, smallest_threshold,
                                                     substeps, reset, readout);
  return {out, membranes};
}

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) {
  m.impl("lif_stack", &lif_stack);
  m.impl("lif_stack_counted", &lif_stack_counted);
}

}  // namespace spikeseq
