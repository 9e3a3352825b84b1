// An ensemble: excitatory neurons, each with an inhibitory partner that holds all others down. One step is, in this
// order: spikes of inputs arrive; inhibition of the step before arrives; excitatory neurons move and fire; their
// synapses learn; their partners move and fire.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "synapses.h"

namespace spikeseq::stdp {

struct Population {
  int64_t neurons, inputs;
  Neuron excitatory, inhibitory;
  float to_partner, from_partner;  // weights of excitatory onto inhibitory neurons and back
  float theta_step;                // what a spike adds to its neuron's threshold
  std::vector<float> theta_keep;   // share of it that is left after so many steps
  float theta_rest;                // and after the presentation and the rest behind it

  Population(Reader& from, int64_t neurons, int64_t inputs)
      : neurons(neurons), inputs(inputs), excitatory(from), inhibitory(from), to_partner(from.real()),
        from_partner(from.real()), theta_step(from.real()), theta_keep(from.table()), theta_rest(from.real()) {}
};

class Ensemble {
 public:
  // `weights`: one for each of `connections`.
  Ensemble(const Population& kind, const std::vector<const Connection*>& connections,
           const std::vector<float*>& weights, bool learns)
      : kind_(kind), learns_(learns), size_((kind.neurons + kGroup - 1) / kGroup * kGroup), v_(size_), g_e_(size_),
        g_i_(size_), theta_(size_), ready_(size_), over_(size_), slot_(kind.neurons), fired_(size_ + kGroup) {
    for (size_t k = 0; k < connections.size(); ++k) synapses_.emplace_back(*connections[k], weights[k]);
  }

  // All potentials at rest, no trace left; thresholds as given.
  void begin(const float* theta) {
    std::copy(theta, theta + kind_.neurons, theta_.begin());
    for (auto* one : {&v_, &g_e_, &g_i_}) std::fill(one->begin(), one->end(), 0.0f);
    std::fill(ready_.begin(), ready_.end(), 0);
    std::fill(slot_.begin(), slot_.end(), -1);
    awake_.neurons.clear();
    awake_.last.clear();
    partners_.clear();
    held_.clear();
    count_ = spikes_ = 0;
    for (Synapses& one : synapses_) one.begin();
  }

  // Spikes of the inputs of one of the connections.
  void arrive(size_t connection, int32_t now, const int32_t* inputs, int64_t count) {
    synapses_[connection].arrive(now, inputs, count, awake_, learns_, g_e_.data());
  }

  // `counts` (neurons) has spikes added. `purpose`: of draws that rules may need.
  void step(int32_t now, int32_t* counts, const Draws& draws) {
    inhibit();
    count_ = move(now);
    spikes_ += count_;
    for (int64_t k = 0; k < count_; ++k) {
      fire(now, fired_[k], draws);
      ++counts[fired_[k]];
    }
    move_partners(now);
  }

  const int32_t* fired() const { return fired_.data(); }
  int64_t count() const { return count_; }
  int64_t spikes() const { return spikes_; }

  // Learnt thresholds, and each(connection, neuron, weights) of those that changed.
  template <typename Each>
  void finish(float* theta, const Each& each) {
    if (!learns_) return;
    for (int64_t j = 0; j < kind_.neurons; ++j) theta[j] = theta_[j] * kind_.theta_rest;
    for (size_t k = 0; k < synapses_.size(); ++k)
      synapses_[k].finish(awake_, [&](int32_t neuron, float* row) { each(k, neuron, row); });
  }

 private:
  struct Partner {
    float v = 0, g_e = 0;
    int32_t ready = 0;
  };

  // Every partner that fired in the step before adds to the inhibition of all but its own neuron.
  void inhibit() {
    if (held_.empty()) return;
    const float all = kind_.from_partner * static_cast<float>(held_.size());
    const float others = kind_.from_partner * static_cast<float>(held_.size() - 1);
    for (int32_t j : held_) own_.push_back(g_i_[j] + others);
    for (float& g : g_i_) g += all;
    for (size_t k = 0; k < held_.size(); ++k) g_i_[held_[k]] = own_[k];
    own_.clear();
  }

  // Returns how many neurons fire.
  int64_t move(int32_t now) {
    const Neuron k = kind_.excitatory;
    const float keep = kind_.theta_keep[now];
    float *__restrict v = v_.data(), *__restrict g_e = g_e_.data(), *__restrict g_i = g_i_.data();
    const float* __restrict theta = theta_.data();
    const int32_t* __restrict ready = ready_.data();
    int32_t *__restrict over = over_.data(), any = 0;
    for (int64_t j = 0; j < size_; ++j) {
      const float moved = membrane(v[j], g_e[j], g_i[j], k);
      const float held = ready[j] > now ? v[j] : moved;
      const int32_t fires = -(held > k.threshold + theta[j] * keep);
      v[j] = fires ? k.reset : held;
      g_e[j] *= k.keep_e;
      g_i[j] *= k.keep_i;
      over[j] = fires;
      any |= fires;
    }
    int64_t count = 0;
    if (any)
      for (int64_t j = 0; j < size_; j += kGroup) count = append_fired(Vector<int32_t>::load(over + j), j, fired_.data(), count);
    return count;
  }

  void fire(int32_t now, int32_t j, Draws draws) {
    ready_[j] = now + 1 + kind_.excitatory.refractory;
    int32_t slot = slot_[j];
    if (slot < 0) {
      slot = slot_[j] = static_cast<int32_t>(awake_.neurons.size());
      awake_.neurons.push_back(j);
      awake_.last.push_back(-1);
      partners_.emplace_back();
      if (learns_)
        for (Synapses& one : synapses_) one.wake(j);
    }
    partners_[slot].g_e += kind_.to_partner;
    if (learns_) {
      theta_[j] += kind_.theta_step / kind_.theta_keep[now];
      int64_t connection = 0;
      for (Synapses& one : synapses_) one.behind(now, slot, j, awake_.last[slot], draws.of(connection++, now, j));
    }
    awake_.last[slot] = now;
  }

  // A partner is driven by its neuron alone, so that it is at rest until this has fired.
  void move_partners(int32_t now) {
    const Neuron& k = kind_.inhibitory;
    held_.clear();
    for (size_t slot = 0; slot < partners_.size(); ++slot) {
      Partner& one = partners_[slot];
      if (one.ready <= now) one.v = membrane(one.v, one.g_e, 0.0f, k);
      one.g_e *= k.keep_e;
      if (one.v > k.threshold) {
        one.v = k.reset;
        one.ready = now + 1 + k.refractory;
        held_.push_back(awake_.neurons[slot]);
      }
    }
  }

  const Population& kind_;
  const bool learns_;
  const int64_t size_;  // neurons, and what fills the last group
  std::vector<float> v_, g_e_, g_i_, theta_;
  std::vector<int32_t> ready_, over_, slot_, fired_;
  std::vector<Synapses> synapses_;
  Awake awake_;
  std::vector<Partner> partners_;  // of awake neurons
  std::vector<int32_t> held_;      // neurons whose partners fired in the last step
  std::vector<float> own_;
  int64_t count_ = 0, spikes_ = 0;
};

}  // namespace spikeseq::stdp
