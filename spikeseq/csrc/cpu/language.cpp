// A language model of spiking blocks, token by token, for streams: from ids to logits. The first block's currents are
// looked up by the ids of the last tokens; the others are maps of a normalised stream; a spike adds one row of weights
// to the stream. No gradients, nothing is kept but the state.
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../binding.h"
#include "../vectors.h"
#include "events.h"
#include "rows.h"
#include "stack.h"

namespace spikeseq {
namespace {

constexpr double kEpsilon = 1e-5;  // as nn.LayerNorm
constexpr int64_t kMultiplier = 1000003, kMask = 0x7fffffff;

template <typename S>
S dot(const S* a, const S* b, int64_t n) {
  using V = Vector<S>;
  constexpr int kSums = 4;
  constexpr int64_t kStep = kSums * V::kLanes;
  typename V::Lanes sums[kSums] = {};
  int64_t j = 0;
  for (; j + kStep <= n; j += kStep)
    for (int s = 0; s < kSums; ++s) sums[s] += V::load(a + j + s * V::kLanes) * V::load(b + j + s * V::kLanes);
  const typename V::Lanes lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  S sum(0);
  for (int64_t i = 0; i < V::kLanes; ++i) sum += lanes[i];
  for (; j < n; ++j) sum += a[j] * b[j];
  return sum;
}

// to = bias + weight (rows, n) times x.
template <typename S>
void map(int64_t rows, int64_t n, const S* weight, const S* bias, const S* x, S* to) {
  for (int64_t k = 0; k < rows; ++k) to[k] = bias[k] + dot(weight + k * n, x, n);
}

template <typename S>
void add_row(int64_t n, const S* row, S* to) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) to[j] += row[j];
}

template <typename S>
void normalise_layer(int64_t n, const S* x, const S* gain, const S* offset, S* to) {
  S sum(0), squares(0);
  for (int64_t j = 0; j < n; ++j) sum += x[j];
  const S mean = sum / S(n);
  for (int64_t j = 0; j < n; ++j) squares += (x[j] - mean) * (x[j] - mean);
  const S scale = S(1) / std::sqrt(squares / S(n) + S(kEpsilon));
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) to[j] = (x[j] - mean) * scale * gain[j] + offset[j];
}

template <typename S>
struct LanguageBlock {
  int64_t neurons, taps;  // tokens that the currents depend on
  bool looked_up;         // weight is (taps, V, neurons), else (neurons, width)
  const S *gain, *offset, *shift, *weight, *bias, *back, *back_bias;
  std::vector<S> leak, threshold;
  S* membranes;    // (B, neurons)
  S* kept;         // (B, taps - 1, width), of a block that is not looked up
  int64_t* before;  // (B, taps - 1) ids, -1 before the text, of one that is
};

template <typename S>
struct LanguageNetwork {
  int64_t width, vocabulary, substeps;
  S scale;
  const S *table, *gain, *offset, *output_bias, *ngrams;
  std::vector<int64_t> orders;  // of n-grams, rising
  int64_t rows;                 // of each order's table
  int64_t* recent;              // (B, highest order - 1) tokens plus one, 0 before the text
  std::vector<LanguageBlock<S>> blocks;
};

// Values of one row of the batch that go from token to token, and room for those of one token.
template <typename S>
class Stream {
 public:
  Stream(const LanguageNetwork<S>& network, const Rows<S>& rows, int64_t b) : net_(network), rows_(rows), b_(b) {
    int64_t most = network.vocabulary;
    for (const LanguageBlock<S>& block : network.blocks) most = std::max(most, block.neurons);
    current_.resize(most), next_.resize(most), fired_.resize(most + kGroup);
    x_.resize(network.width), given_.resize(network.width), mixed_.resize(network.width);
  }

  void step(int64_t id, S* logits, int64_t* spikes) {
    for (int64_t j = 0; j < net_.width; ++j) x_[j] = net_.table[id * net_.width + j] * net_.scale;
    if (!net_.orders.empty()) add_ngrams(id);
    for (const LanguageBlock<S>& block : net_.blocks) {
      if (block.looked_up) look_up(block, id);
      else map_stream(block);
      fire(block, spikes++);
    }
    normalise_layer(net_.width, x_.data(), net_.gain, net_.offset, given_.data());
    map(net_.vocabulary, net_.width, net_.table, net_.output_bias, given_.data(), logits);
  }

 private:
  // As `rows_of_ngrams` in ops/language.py, from the newest token back.
  void add_ngrams(int64_t id) {
    const int64_t before = net_.orders.back() - 1;
    int64_t* recent = net_.recent + b_ * before;
    int64_t key = 0;
    size_t found = 0;
    for (int64_t n = 1; n <= before + 1; ++n) {
      key = (key * kMultiplier + (n == 1 ? id + 1 : recent[before + 1 - n])) & kMask;
      key ^= key >> 15;
      if (net_.orders[found] != n) continue;
      const int64_t row = key % net_.rows + static_cast<int64_t>(found++) * net_.rows;
      add_row(net_.width, net_.ngrams + row * net_.width, x_.data());
    }
    std::copy(recent + 1, recent + before, recent);
    recent[before - 1] = id + 1;
  }

  void look_up(const LanguageBlock<S>& block, int64_t id) {
    std::copy_n(block.bias, block.neurons, current_.data());
    int64_t* before = block.before + b_ * (block.taps - 1);
    for (int64_t k = 0; k < block.taps; ++k) {
      const int64_t one = k + 1 < block.taps ? before[k] : id;
      if (one >= 0) add_row(block.neurons, block.weight + (k * net_.vocabulary + one) * block.neurons, current_.data());
    }
    for (int64_t k = 0; k + 1 < block.taps; ++k) before[k] = k + 2 < block.taps ? before[k + 1] : id;
  }

  void map_stream(const LanguageBlock<S>& block) {
    const int64_t n = net_.width;
    normalise_layer(n, x_.data(), block.gain, block.offset, given_.data());
    const S* input = given_.data();
    if (block.taps > 1) {
      S* kept = block.kept + b_ * (block.taps - 1) * n;
      const S* last = block.shift + (block.taps - 1) * n;
      for (int64_t j = 0; j < n; ++j) mixed_[j] = given_[j] * last[j];
      for (int64_t k = 0; k + 1 < block.taps; ++k)
        for (int64_t j = 0; j < n; ++j) mixed_[j] += kept[k * n + j] * block.shift[k * n + j];
      std::copy(kept + n, kept + (block.taps - 1) * n, kept);
      std::copy_n(given_.data(), n, kept + (block.taps - 2) * n);
      input = mixed_.data();
    }
    map(block.neurons, n, block.weight, block.bias, input, current_.data());
  }

  void fire(const LanguageBlock<S>& block, int64_t* spikes) {
    S* u = block.membranes + b_ * block.neurons;
    add_row(net_.width, block.back_bias, x_.data());
    for (int64_t t = 0; t < net_.substeps; ++t) {
      rows_.update(block.neurons, u, current_.data(), block.leak.data(), block.threshold.data(), next_.data());
      std::copy_n(next_.data(), block.neurons, u);
      const int64_t count = fired(block.neurons, u, block.threshold.data(), fired_.data());
      add_rows(fired_.data(), count, block.back, net_.width, x_.data());
      *spikes += count;
    }
  }

  const LanguageNetwork<S>& net_;
  const Rows<S>& rows_;
  int64_t b_;
  std::vector<S> current_, next_, x_, given_, mixed_;
  std::vector<int32_t> fired_;
};

void check_blocks(const at::Tensor& ids, const at::Tensor& table, at::TensorList gains, at::TensorList offsets,
                  at::TensorList shifts, at::TensorList weights, at::TensorList biases, at::TensorList leaks,
                  at::TensorList thresholds, at::TensorList backs, at::TensorList back_biases,
                  at::TensorList membranes, at::TensorList kept, int64_t substeps) {
  const size_t count = weights.size();
  for (const at::TensorList list : {gains, offsets, shifts, biases, leaks, thresholds, backs, back_biases, membranes, kept})
    TORCH_CHECK_VALUE(list.size() == count && count > 0, "a stream takes as many of each part as blocks, got ", count,
                      " weights and ", list.size());
  const Checks check("table", table);
  TORCH_CHECK_VALUE(table.dim() == 2 && ids.dim() == 2, "table must be (V, D) and ids (L, B), got ", table.sizes(), " and ",
                    ids.sizes());
  check.of_type("ids", ids, ids.sizes(), at::kLong);
  check_steps(ids.size(0), substeps, 1, true);
  const int64_t v = table.size(0), d = table.size(1), batch = ids.size(1);
  for (size_t i = 0; i < count; ++i) {
    const int64_t n = biases[i].numel(), block = static_cast<int64_t>(i);
    const bool looked_up = weights[i].dim() == 3;
    const int64_t taps = looked_up ? weights[i].size(0) : shifts[i].numel() ? shifts[i].size(0) : 1;
    check("bias", biases[i], {n}, block);
    check("weight", weights[i], looked_up ? at::IntArrayRef({taps, v, n}) : at::IntArrayRef({n, d}), block);
    check("gain", gains[i], {d}, block);
    check("offset", offsets[i], {d}, block);
    if (!looked_up && taps > 1) check("shift", shifts[i], {taps, d}, block);
    check.channels("leak", leaks[i], n, block);
    check.channels("threshold", thresholds[i], n, block);
    check("back", backs[i], {n, d}, block);
    check("back_bias", back_biases[i], {d}, block);
    check("membrane", membranes[i], {batch, n}, block);
    if (looked_up) check.of_type("kept", kept[i], {batch, taps - 1}, at::kLong, block);
    else if (taps > 1) check("kept", kept[i], {batch, taps - 1, d}, block);
  }
}

void check_ngrams(const Checks& check, const at::Tensor& ngrams, at::IntArrayRef orders, const at::Tensor& recent,
                  int64_t batch, int64_t width) {
  int64_t before = 1;
  for (const int64_t order : orders) {
    TORCH_CHECK_VALUE(order > before, "orders of n-grams must rise from 2 on, got ", orders);
    before = order;
  }
  const int64_t count = static_cast<int64_t>(orders.size());
  TORCH_CHECK_VALUE(ngrams.dim() == 2 && ngrams.size(0) >= count && ngrams.size(0) % std::max<int64_t>(1, count) == 0,
                    "ngrams must have as many rows for each of ", count, " orders, got ", ngrams.sizes());
  check("ngrams", ngrams, {ngrams.size(0), width});
  check.of_type("recent", recent, {batch, before - 1}, at::kLong);
  TORCH_CHECK_VALUE(!recent.numel() || recent.ge(0).logical_and_(recent.lt(at::Scalar(int64_t{1} << 32))).all().item<bool>(),
                    "recent must be tokens plus one");
}

std::tuple<at::Tensor, at::Tensor, std::vector<at::Tensor>, std::vector<at::Tensor>, at::Tensor> language_stream(
    const at::Tensor& ids, const at::Tensor& table, double scale, const at::Tensor& ngrams, at::IntArrayRef orders,
    at::TensorList gains, at::TensorList offsets, at::TensorList shifts, at::TensorList weights, at::TensorList biases,
    at::TensorList leaks, at::TensorList thresholds, at::TensorList backs, at::TensorList back_biases,
    const at::Tensor& recent, at::TensorList membranes, at::TensorList kept, const at::Tensor& gain, const at::Tensor& offset, const at::Tensor& output_bias,
    double smallest_threshold, int64_t substeps, std::string_view reset) {
  check_blocks(ids, table, gains, offsets, shifts, weights, biases, leaks, thresholds, backs, back_biases, membranes,
               kept, substeps);
  const int64_t tokens = ids.size(0), batch = ids.size(1), v = table.size(0), d = table.size(1);
  const Checks check("table", table);
  check("gain", gain, {d});
  check("offset", offset, {d});
  check("output_bias", output_bias, {v});
  check_ngrams(check, ngrams, orders, recent, batch, d);
  const at::Tensor given = ids.contiguous();
  const int64_t* id = given.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < tokens * batch; ++i)
    TORCH_CHECK_INDEX(id[i] >= 0 && id[i] < v, "tokens must lie in [0, ", v, "), got ", id[i]);
  const Choice choice = choice_of(reset, "spikes", "piecewise_linear", 1, 1, false);
  std::vector<at::Tensor> own, new_membranes, new_kept;
  const at::Tensor new_recent = recent.clone(at::MemoryFormat::Contiguous);
  for (size_t i = 0; i < weights.size(); ++i) {
    new_membranes.push_back(membranes[i].clone(at::MemoryFormat::Contiguous));
    new_kept.push_back(kept[i].clone(at::MemoryFormat::Contiguous));
    if (weights[i].dim() == 3 && kept[i].numel()) {
      const at::Tensor& before = new_kept.back();
      TORCH_CHECK_VALUE(before.lt(v).all().item<bool>(), "tokens of a state must be below ", v);
    }
  }
  at::Tensor logits = at::empty({tokens, batch, v}, table.options());
  at::Tensor spikes = at::zeros({static_cast<int64_t>(weights.size())}, ids.options());
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "language_stream", [&] {
    using S = scalar_t;
    const auto values = [&](const at::Tensor& t) {
      own.push_back(t.contiguous());
      return own.back().const_data_ptr<S>();
    };
    LanguageNetwork<S> net{d, v, substeps, static_cast<S>(scale), values(table), values(gain), values(offset), values(output_bias),
                   values(ngrams), orders.vec(), ngrams.size(0) / std::max<int64_t>(1, static_cast<int64_t>(orders.size())),
                   new_recent.data_ptr<int64_t>(), {}};
    for (size_t i = 0; i < weights.size(); ++i) {
      const bool looked_up = weights[i].dim() == 3;
      const int64_t n = biases[i].numel();
      const int64_t taps = looked_up ? weights[i].size(0) : shifts[i].numel() ? shifts[i].size(0) : 1;
      net.blocks.push_back({n, taps, looked_up, values(gains[i]), values(offsets[i]), values(shifts[i]),
                            values(weights[i]), values(biases[i]), values(backs[i]), values(back_biases[i]),
                            bounded<S>("leak", leaks[i].contiguous(), n, S(0), S(1)),
                            bounded<S>("threshold", thresholds[i].contiguous(), n, S(smallest_threshold),
                                       std::numeric_limits<S>::max()),
                            new_membranes[i].template data_ptr<S>(),
                            looked_up ? nullptr : new_kept[i].template data_ptr<S>(),
                            looked_up ? new_kept[i].template data_ptr<int64_t>() : nullptr});
    }
    const Rows<S> rows(choice);
    std::vector<int64_t> counts(weights.size());
    for (int64_t b = 0; b < batch; ++b) {
      Stream<S> stream(net, rows, b);
      for (int64_t l = 0; l < tokens; ++l)
        stream.step(id[l * batch + b], logits.data_ptr<S>() + (l * batch + b) * v, counts.data());
    }
    std::copy(counts.begin(), counts.end(), spikes.data_ptr<int64_t>());
  });
  return {logits, new_recent, new_membranes, new_kept, spikes};
}

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) { m.impl("language_stream", &language_stream); }

}  // namespace
}  // namespace spikeseq
