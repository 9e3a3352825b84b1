// One example shown to a network of ensembles: its spikes are drawn, the steps run, and it is shown again, stronger,
// where too little fired.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ensemble.h"

namespace spikeseq::stdp {

// Ensembles, what connects them, and how examples are shown. Connection c leads to ensemble `to[c]` from its own
// inputs (`from[c]` < 0) or from another ensemble.
struct Network {
  std::vector<Population> populations;
  std::vector<Connection> connections;
  std::vector<int64_t> from, to;
  int64_t seed, steps, least, repeats;
  double boost;
};

// What an example gave.
struct Shown {
  int64_t times = 0, inputs = 0;  // presentations, and input spikes of all of them
};

// Spikes a step of one ensemble's inputs for one example: (frames, inputs).
struct Rates {
  const float* values;
  int64_t frames;
};

class Presenter {
 public:
  Presenter(const Network& network, const std::vector<float*>& weights, bool learns)
      : network_(network), purpose_(learns ? kLearning : kRecall) {
    for (size_t p = 0; p < network.populations.size(); ++p) {
      std::vector<const Connection*> kinds;
      std::vector<float*> given;
      for (size_t c = 0; c < network.connections.size(); ++c) {
        if (network.to[c] != static_cast<int64_t>(p)) continue;
        sources_.push_back({p, kinds.size(), network.from[c], c});
        kinds.push_back(&network.connections[c]);
        given.push_back(weights[c]);
      }
      ensembles_.emplace_back(network.populations[p], kinds, given, learns);
    }
    spikes_.resize(network.populations.size());
  }

  // rates[p], thetas[p], which are moved, and counts[p] (neurons), of the last presentation: of ensemble p.
  // each(connection, neuron, weights) sees the weights that were learnt.
  template <typename Each>
  Shown show(int64_t example, const std::vector<Rates>& rates, const std::vector<float*>& thetas,
             const std::vector<int32_t*>& counts, const Each& each) {
    Shown shown;
    bool enough = false;
    while (!enough && shown.times <= network_.repeats) {
      const double gain = 1.0 + network_.boost * static_cast<double>(shown.times);
      for (size_t p = 0; p < ensembles_.size(); ++p) {
        shown.inputs += draw(p, example, shown.times, rates[p], gain);
        ensembles_[p].begin(thetas[p]);
        std::fill(counts[p], counts[p] + network_.populations[p].neurons, 0);
      }
      for (int64_t now = 0; now < network_.steps; ++now)
        step(static_cast<int32_t>(now), example, shown.times, counts);
      enough = true;
      for (size_t p = 0; p < ensembles_.size(); ++p) {
        ensembles_[p].finish(thetas[p], [&](size_t k, int32_t neuron, float* row) { each(connection(p, k), neuron, row); });
        enough = enough && (!spikes_[p].fed || ensembles_[p].spikes() >= network_.least);
      }
      ++shown.times;
    }
    return shown;
  }

 private:
  struct Source {
    size_t population, place;  // whose synapses these are, and which of them
    int64_t from;
    size_t connection;
  };
  struct Spikes {
    std::vector<int32_t> steps, drawn, ids;  // drawn in the order of inputs; ids in the order of steps
    std::vector<int64_t> starts;             // of every step in ids
    bool fed = false;                        // any could fire
  };

  size_t connection(size_t population, size_t place) const {
    for (const Source& one : sources_)
      if (one.population == population && one.place == place) return one.connection;
    return 0;
  }

  void step(int32_t now, int64_t example, int64_t time, const std::vector<int32_t*>& counts) {
    // All that fired in the step before is read before anyone moves.
    for (const Source& one : sources_) {
      if (one.from < 0) {
        const Spikes& s = spikes_[one.population];
        ensembles_[one.population].arrive(one.place, now, s.ids.data() + s.starts[now], s.starts[now + 1] - s.starts[now]);
      } else {
        const Ensemble& other = ensembles_[one.from];
        ensembles_[one.population].arrive(one.place, now, other.fired(), other.count());
      }
    }
    for (size_t p = 0; p < ensembles_.size(); ++p)
      ensembles_[p].step(now, counts[p], Draws({network_.seed, kSwitching, example, time, static_cast<int64_t>(p)}));
  }

  // Spikes of one ensemble's inputs, sorted by step; returns how many.
  int64_t draw(size_t p, int64_t example, int64_t time, const Rates& rates, double gain) {
    Spikes& s = spikes_[p];
    const int64_t inputs = network_.populations[p].inputs, steps = network_.steps;
    s.steps.clear();
    s.drawn.clear();
    s.starts.assign(steps + 1, 0);
    s.fed = false;
    const Draws all({network_.seed, purpose_, example, time, static_cast<int64_t>(p)});
    for (int64_t f = 0; f < rates.frames; ++f) {
      for (int64_t i = 0; i < inputs; ++i) {
        const double probability = std::min(1.0, static_cast<double>(rates.values[f * inputs + i]) * gain);
        s.fed = s.fed || probability > 0;
        happenings(all.of(f, i, 0), probability, steps * f / rates.frames, steps * (f + 1) / rates.frames, [&](int64_t at) {
          s.steps.push_back(static_cast<int32_t>(at));
          s.drawn.push_back(static_cast<int32_t>(i));
          ++s.starts[at];
        });
      }
    }
    int64_t before = 0;
    for (int64_t& one : s.starts) {
      const int64_t count = one;
      one = before;
      before += count;
    }
    s.ids.resize(before);
    for (size_t k = 0; k < s.steps.size(); ++k) s.ids[s.starts[s.steps[k]]++] = s.drawn[k];
    for (int64_t t = steps; t > 0; --t) s.starts[t] = s.starts[t - 1];
    s.starts[0] = 0;
    return before;
  }

  const Network& network_;
  const Purpose purpose_;
  std::vector<Ensemble> ensembles_;
  std::vector<Source> sources_;
  std::vector<Spikes> spikes_;
};

}  // namespace spikeseq::stdp
