// Examples shown to a network of ensembles that learn by spike timing: one after the other, or several at once from the
// same weights, whose changes are then added up.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../checks.h"
#include "../stdp/presentation.h"

namespace spikeseq {
namespace {

using namespace stdp;
using Tensors = std::vector<at::Tensor>;

// weights and possible: one a connection (possible: empty where all synapses are); thetas, rates, counts: one an
// ensemble. rates (examples, frames, inputs), counts (examples, neurons) int32, shown (examples, 2) int64.
struct Given {
  Tensors weights, possible, thetas, rates, counts;
  at::Tensor shown;
  int64_t examples;

  static std::vector<float*> of(Tensors& all) {
    std::vector<float*> made;
    for (at::Tensor& one : all) made.push_back(one.data_ptr<float>());
    return made;
  }
};

Network read_network(const Given& given, at::ArrayRef<double> reals, at::IntArrayRef whole) {
  Reader from(reals.data(), static_cast<int64_t>(reals.size()), whole.data(), static_cast<int64_t>(whole.size()));
  Network made;
  try {
    made.seed = from.whole(), made.steps = from.whole(), made.least = from.whole(), made.repeats = from.whole();
    made.boost = from.wide();
    for (size_t p = 0; p < given.thetas.size(); ++p)
      made.populations.emplace_back(from, given.thetas[p].size(0), given.rates[p].size(2));
    for (size_t c = 0; c < given.weights.size(); ++c) {
      made.from.push_back(from.whole());
      made.to.push_back(from.whole());
      const auto& possible = given.possible[c];
      made.connections.emplace_back(from, given.weights[c].size(0), given.weights[c].size(1),
                                    possible.numel() ? possible.const_data_ptr<uint8_t>() : nullptr);
    }
  } catch (const std::out_of_range& error) {
    TORCH_CHECK_VALUE(false, "constants do not describe the tensors: ", error.what());
  }
  TORCH_CHECK_VALUE(from.finished(), "constants do not describe the tensors: too many");
  return made;
}

void check(const Given& given) {
  TORCH_CHECK_VALUE(!given.thetas.empty() && given.rates.size() == given.thetas.size() &&
                        given.counts.size() == given.thetas.size() && given.possible.size() == given.weights.size(),
                    "rates, counts and thetas must be one an ensemble, possible and weights one a connection");
  const Checks check("thetas[0]", given.thetas[0]);
  TORCH_CHECK_TYPE(check.type == at::kFloat, "thetas must be float32, got ", check.type);
  for (size_t p = 0; p < given.thetas.size(); ++p) {
    TORCH_CHECK_VALUE(given.rates[p].dim() == 3, "rates must be (examples, frames, inputs), got ", given.rates[p].sizes());
    const int64_t neurons = given.thetas[p].numel();
    check("thetas", given.thetas[p], {neurons});
    check("rates", given.rates[p], {given.examples, given.rates[p].size(1), given.rates[p].size(2)});
    check.of_type("counts", given.counts[p], {given.examples, neurons}, at::kInt);
    for (const at::Tensor* one : {&given.thetas[p], &given.rates[p], &given.counts[p]}) check_contiguous("tensors", *one);
  }
  check.of_type("shown", given.shown, {given.examples, 2}, at::kLong);
  check_contiguous("shown", given.shown);
  for (size_t c = 0; c < given.weights.size(); ++c) {
    const at::Tensor &weight = given.weights[c], &possible = given.possible[c];
    TORCH_CHECK_VALUE(weight.dim() == 2, "weights must be (inputs, neurons), got ", weight.sizes());
    check("weights", weight, weight.sizes());
    check_contiguous("weights", weight);
    if (possible.numel()) check.of_type("possible", possible, weight.sizes(), at::kByte);
    check_contiguous("possible", possible);
  }
}

void check(const Given& given, const Network& made) {
  TORCH_CHECK_VALUE(made.steps > 0 && made.steps < (1 << 30), "there must be steps");
  const int64_t count = static_cast<int64_t>(made.populations.size());
  for (const Population& one : made.populations)
    TORCH_CHECK_VALUE(static_cast<int64_t>(one.theta_keep.size()) > made.steps, "a table is shorter than the steps");
  for (size_t c = 0; c < made.connections.size(); ++c) {
    const int64_t from = made.from[c], to = made.to[c];
    TORCH_CHECK_VALUE(from >= -1 && from < count && to >= 0 && to < count, "connection ", c, " leads nowhere");
    const int64_t inputs = from < 0 ? made.populations[to].inputs : made.populations[from].neurons;
    const Connection& one = made.connections[c];
    TORCH_CHECK_VALUE(one.inputs == inputs && one.neurons == made.populations[to].neurons, "weights of connection ", c,
                      " must be (", inputs, ", ", made.populations[to].neurons, "), got (", one.inputs, ", ", one.neurons, ")");
    std::visit([&](const auto& rule) {
      TORCH_CHECK_VALUE(rule.before_trace.size() > made.steps, "a trace is shorter than the steps");
    }, one.rule);
  }
}

std::vector<Rates> rates_of(const Given& given, int64_t example) {
  std::vector<Rates> made;
  for (const at::Tensor& one : given.rates)
    made.push_back({one.const_data_ptr<float>() + example * one.size(1) * one.size(2), one.size(1)});
  return made;
}

std::vector<int32_t*> counts_of(Given& given, int64_t example) {
  std::vector<int32_t*> made;
  for (at::Tensor& one : given.counts) made.push_back(one.data_ptr<int32_t>() + example * one.size(1));
  return made;
}

void note(Given& given, int64_t example, const Shown& shown) {
  int64_t* to = given.shown.data_ptr<int64_t>() + 2 * example;
  to[0] = shown.times, to[1] = shown.inputs;
}

const auto kKeep = [](size_t, int32_t, float*) {};

// One after the other, each from what the one before has left.
void in_order(Given& given, const Network& network, int64_t first) {
  Presenter presenter(network, given.of(given.weights), true);
  for (int64_t n = 0; n < given.examples; ++n)
    note(given, n, presenter.show(first + n, rates_of(given, n), given.of(given.thetas), counts_of(given, n), kKeep));
}

// Nothing is learnt: any order.
void recall(Given& given, const Network& network, int64_t first) {
  at::parallel_for(0, given.examples, 1, [&](int64_t begin, int64_t end) {
    Presenter presenter(network, given.of(given.weights), false);
    for (int64_t n = begin; n < end; ++n)
      note(given, n, presenter.show(first + n, rates_of(given, n), given.of(given.thetas), counts_of(given, n), kKeep));
  });
}

// What an example of a batch changes.
struct Changes {
  struct Column {
    size_t connection;
    int32_t neuron;
    std::vector<float> by;  // (inputs)
  };
  std::vector<Column> columns;
  Tensors thetas;  // as the example leaves them
  int64_t times = 0;
};

// The columns of `own` that an example has moved go back to those of `base`; those that it has not are dropped.
void take_back(std::vector<Changes::Column>& columns, const Tensors& base, Tensors& own) {
  for (Changes::Column& one : columns) {
    const int64_t neurons = base[one.connection].size(1), inputs = base[one.connection].size(0);
    const float* before = base[one.connection].const_data_ptr<float>() + one.neuron;
    float* after = own[one.connection].data_ptr<float>() + one.neuron;
    one.by.resize(inputs);
    for (int64_t i = 0; i < inputs; ++i) {
      one.by[i] = after[i * neurons] - before[i * neurons];
      after[i * neurons] = before[i * neurons];
    }
  }
  const auto unmoved = [](const Changes::Column& one) {
    return std::all_of(one.by.begin(), one.by.end(), [](float by) { return by == 0; });
  };
  columns.erase(std::remove_if(columns.begin(), columns.end(), unmoved), columns.end());
}

void add(const Changes& made, const Tensors& base_thetas, Given& given, const Network& network) {
  for (const Changes::Column& one : made.columns) {
    const Connection& kind = network.connections[one.connection];
    const float most = std::visit([](const auto& rule) { return rule.most; }, kind.rule);
    float* weight = given.weights[one.connection].data_ptr<float>() + one.neuron;
    for (int64_t i = 0; i < kind.inputs; ++i) {
      float& w = weight[i * kind.neurons];
      w = std::min(std::max(w + one.by[i], 0.0f), most);
    }
  }
  for (size_t p = 0; p < given.thetas.size(); ++p) {
    float* theta = given.thetas[p].data_ptr<float>();
    const float *base = base_thetas[p].const_data_ptr<float>(), *left = made.thetas[p].const_data_ptr<float>();
    float keep = 1.0f;
    for (int64_t k = 0; k < made.times; ++k) keep *= network.populations[p].theta_rest;
    for (int64_t j = 0; j < given.thetas[p].numel(); ++j) theta[j] = theta[j] * keep + (left[j] - base[j] * keep);
  }
}

// Sums of changes do not keep the sum of a neuron's weights where some of them end at zero: it is restored, or a
// neuron that often wins would be driven more and more.
void restore(const std::vector<Changes>& all, Given& given, const Network& network) {
  std::set<std::pair<size_t, int32_t>> moved;
  for (const Changes& made : all)
    for (const Changes::Column& one : made.columns) moved.insert({one.connection, one.neuron});
  std::vector<float> row;
  for (const auto& [connection, neuron] : moved) {
    const Connection& kind = network.connections[connection];
    if (!(kind.total > 0)) continue;
    float* weight = given.weights[connection].data_ptr<float>() + neuron;
    row.resize(kind.inputs);
    for (int64_t i = 0; i < kind.inputs; ++i) row[i] = weight[i * kind.neurons];
    normalise(row.data(), kind.inputs, kind.total);
    for (int64_t i = 0; i < kind.inputs; ++i) weight[i * kind.neurons] = row[i];
  }
}

// A batch from the same weights and thresholds; in each example its own stay live. Changes add up in the order of
// examples.
void batch(Given& given, const Network& network, int64_t first, int64_t begin, int64_t end) {
  std::vector<Changes> all(end - begin);
  at::parallel_for(begin, end, 1, [&](int64_t from, int64_t to) {
    Tensors own;
    for (const at::Tensor& one : given.weights) own.push_back(one.clone());
    Presenter presenter(network, given.of(own), true);
    for (int64_t n = from; n < to; ++n) {
      Changes& made = all[n - begin];
      for (const at::Tensor& one : given.thetas) made.thetas.push_back(one.clone());
      const auto touch = [&](size_t connection, int32_t neuron, float*) {
        for (const auto& one : made.columns)
          if (one.connection == connection && one.neuron == neuron) return;
        made.columns.push_back({connection, neuron, {}});
      };
      const Shown shown = presenter.show(first + n, rates_of(given, n), given.of(made.thetas),
                                         counts_of(given, n), touch);
      note(given, n, shown);
      made.times = shown.times;
      take_back(made.columns, given.weights, own);
    }
  });
  Tensors base;
  for (const at::Tensor& one : given.thetas) base.push_back(one.clone());
  for (const Changes& made : all) add(made, base, given, network);
  restore(all, given, network);
}

// `constants` and `whole` as ops/stdp.py packs them; example n draws as number `first` + n. Weights and thetas are
// moved where batch > 0: so many examples at once; batch 0 learns nothing.
void present(at::TensorList weights, at::TensorList possible, at::TensorList thetas, at::TensorList rates,
             at::TensorList counts, const at::Tensor& shown, at::ArrayRef<double> constants, at::IntArrayRef whole,
             int64_t first, int64_t batch_size) {
  TORCH_CHECK_VALUE(!rates.empty() && rates[0].dim() == 3, "rates must be (examples, frames, inputs)");
  Given given{weights.vec(), possible.vec(), thetas.vec(), rates.vec(), counts.vec(), shown, rates[0].size(0)};
  check(given);
  const Network network = read_network(given, constants, whole);
  check(given, network);
  TORCH_CHECK_VALUE(first <= std::numeric_limits<int64_t>::max() - given.examples, "first must leave room for ",
                    given.examples, " examples below 2^63, got ", first);
  TORCH_CHECK_VALUE(batch_size >= 0, "batch must be at least 0, got ", batch_size);
  batch_size = std::min(batch_size, given.examples);
  if (batch_size == 0) return recall(given, network, first);
  if (batch_size == 1) return in_order(given, network, first);
  for (int64_t begin = 0; begin < given.examples; begin += batch_size)
    batch(given, network, first, begin, std::min(begin + batch_size, given.examples));
}

}  // namespace

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) { m.impl("stdp_present", &present); }

}  // namespace spikeseq
