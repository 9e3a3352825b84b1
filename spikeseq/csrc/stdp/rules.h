// How a synapse changes at a spike of the neuron before it (`before`) and behind it (`behind`). Traces are read from
// tables by the steps since the last spike: one is 1 at the spike and decays.
#pragma once

#include <algorithm>
#include <cstdint>
#include <variant>
#include <vector>

#include "constants.h"
#include "power.h"

namespace spikeseq::stdp {

// A trace by the steps since the last spike; 0 if there was none (a negative `last`).
class Trace {
 public:
  explicit Trace(Reader& from) : values_(from.table()) {}
  int64_t size() const { return static_cast<int64_t>(values_.size()); }
  float operator()(int32_t now, int32_t last) const { return last < 0 ? 0.0f : values_[now - last]; }

 private:
  std::vector<float> values_;
};

// Diehl and Cook's (2015): a spike of the input depresses by the trace of the neuron's spikes; a spike of the neuron
// potentiates by the input's trace times a slow trace of the neuron's earlier spikes.
struct PairOfTraces {
  float rate_before, rate_behind, most;
  Trace before_trace, behind_trace, slow_trace;
  static constexpr bool kDepresses = true, kDraws = false;

  explicit PairOfTraces(Reader& from)
      : rate_before(from.real()), rate_behind(from.real()), most(from.real()), before_trace(from), behind_trace(from),
        slow_trace(from) {}

  float before(float w, float behind) const { return std::max(w - rate_before * behind, 0.0f); }
  float behind(float w, float before, float slow, double) const {
    return std::min(w + rate_behind * (before * slow), most);
  }
};

// Equation 3.3 of the thesis, at spikes of the neuron.
struct PowerLaw {
  float rate, offset, most, exponent;
  Trace before_trace;
  static constexpr bool kDepresses = false, kDraws = false;

  explicit PowerLaw(Reader& from)
      : rate(from.real()), offset(from.real()), most(from.real()), exponent(from.real()), before_trace(from) {}

  float before(float w, float) const { return w; }
  float behind(float w, float before, float, double) const {
    const float moved = w + rate * (before - offset) * power(most - w, exponent);
    return std::min(std::max(moved, 0.0f), most);
  }
};

// Binary synapses: at a spike of the neuron one whose input fired lately is switched on, any other one off, each with
// a probability.
struct Switching {
  float on, off, least, most;
  Trace before_trace;
  static constexpr bool kDepresses = false, kDraws = true;

  explicit Switching(Reader& from)
      : on(from.real()), off(from.real()), least(from.real()), most(from.real()), before_trace(from) {}

  float before(float w, float) const { return w; }
  float behind(float w, float before, float, double drawn) const {
    if (before >= least) return drawn < static_cast<double>(on * before) ? most : w;
    return drawn < static_cast<double>(off) ? 0.0f : w;
  }
};

using Rule = std::variant<PairOfTraces, PowerLaw, Switching>;

inline Rule read_rule(Reader& from) {
  switch (from.whole()) {
    case 0: return PairOfTraces(from);
    case 1: return PowerLaw(from);
    case 2: return Switching(from);
  }
  throw std::out_of_range("no such rule");
}

}  // namespace spikeseq::stdp
