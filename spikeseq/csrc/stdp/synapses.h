// All synapses from one set of inputs to the neurons of an ensemble, over one presentation. Weights are (inputs,
// neurons): a spike of an input adds a row. A neuron that has fired is awake, and learns: its weights then stand in a
// row of their own, and zeros in their place.
#pragma once

#include <algorithm>
#include <cstdint>
#include <variant>
#include <vector>

#include "../cpu/events.h"
#include "random.h"
#include "rules.h"

namespace spikeseq::stdp {

// The neurons that have fired in this presentation, in the order of their first spikes, and the step of their last.
struct Awake {
  std::vector<int32_t> neurons, last;
};

struct Connection {
  Rule rule;
  float total;  // of the weights of a neuron after a presentation in which it fired; 0: left as they are
  int64_t inputs, neurons;
  const uint8_t* possible;  // (inputs, neurons), 0 where there can be no synapse; null: all are possible

  Connection(Reader& from, int64_t inputs, int64_t neurons, const uint8_t* possible)
      : rule(read_rule(from)), total(from.real()), inputs(inputs), neurons(neurons), possible(possible) {}
};

// The weights of a neuron, scaled to their sum. Sums in eight lanes: the order is part of the result.
inline void normalise(float* row, int64_t inputs, float total) {
  float lanes[8] = {};
  for (int64_t i = 0; i < inputs; ++i) lanes[i % 8] += row[i];
  float sum = 0.0f;
  for (float lane : lanes) sum += lane;
  if (!(sum > 0)) return;
  const float scale = total / sum;
  for (int64_t i = 0; i < inputs; ++i) row[i] *= scale;
}

class Synapses {
 public:
  Synapses(const Connection& kind, float* weight) : kind_(kind), weight_(weight), last_(kind.inputs) {}

  void begin() { std::fill(last_.begin(), last_.end(), -1); }

  // Spikes of inputs reach the neurons, and then move the weights that they came through.
  void arrive(int32_t now, const int32_t* inputs, int64_t count, const Awake& awake, bool learns, float* conductance) {
    if (count == 0) return;
    add_rows(inputs, count, weight_, kind_.neurons, conductance);
    if (!learns) return;
    std::visit([&](const auto& rule) { depress(rule, now, inputs, count, awake, conductance); }, kind_.rule);
    for (int64_t k = 0; k < count; ++k) last_[inputs[k]] = now;
  }

  // The weights of a neuron are set apart.
  void wake(int32_t neuron) {
    const size_t from = rows_.size();
    rows_.resize(from + kind_.inputs);
    float* row = rows_.data() + from;
    for (int64_t i = 0; i < kind_.inputs; ++i) {
      float& w = weight_[i * kind_.neurons + neuron];
      row[i] = w;
      w = 0.0f;
    }
  }

  // An awake neuron fires; `slow` is the step of its last spike before.
  void behind(int32_t now, int64_t slot, int32_t neuron, int32_t last, const Draws& draws) {
    std::visit([&](const auto& rule) { potentiate(rule, now, slot, neuron, last, draws); }, kind_.rule);
  }

  // The weights of awake neurons return, their sum restored; each(neuron, weights) may change what is put back.
  template <typename Each>
  void finish(const Awake& awake, const Each& each) {
    for (size_t slot = 0; slot < awake.neurons.size(); ++slot) {
      float* row = rows_.data() + slot * kind_.inputs;
      if (kind_.total > 0) normalise(row, kind_.inputs, kind_.total);
      each(awake.neurons[slot], row);
      for (int64_t i = 0; i < kind_.inputs; ++i) weight_[i * kind_.neurons + awake.neurons[slot]] = row[i];
    }
    rows_.clear();
  }

 private:
  template <typename R>
  void depress(const R& rule, int32_t now, const int32_t* inputs, int64_t count, const Awake& awake, float* conductance) {
    for (size_t slot = 0; slot < awake.neurons.size(); ++slot) {
      float* row = rows_.data() + slot * kind_.inputs;
      float sum = conductance[awake.neurons[slot]];
      for (int64_t k = 0; k < count; ++k) sum += row[inputs[k]];
      conductance[awake.neurons[slot]] = sum;
      if constexpr (R::kDepresses) {
        const float trace = rule.behind_trace(now, awake.last[slot]);
        for (int64_t k = 0; k < count; ++k) row[inputs[k]] = rule.before(row[inputs[k]], trace);
      }
    }
  }

  template <typename R>
  void potentiate(const R& rule, int32_t now, int64_t slot, int32_t neuron, int32_t last, Draws draws) {
    float* row = rows_.data() + slot * kind_.inputs;
    float slow = 0.0f;
    if constexpr (R::kDepresses) slow = rule.slow_trace(now, last);
    for (int64_t i = 0; i < kind_.inputs; ++i) {
      const double drawn = R::kDraws ? draws.next() : 0.0;
      const float moved = rule.behind(row[i], rule.before_trace(now, last_[i]), slow, drawn);
      row[i] = kind_.possible && !kind_.possible[i * kind_.neurons + neuron] ? 0.0f : moved;
    }
  }

  const Connection& kind_;
  float* weight_;
  std::vector<int32_t> last_;  // step of every input's last spike
  std::vector<float> rows_;    // of awake neurons, (awake, inputs)
};

}  // namespace spikeseq::stdp
