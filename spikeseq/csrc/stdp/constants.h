// What a network of ensembles is made of, as numbers. Python packs them (spikeseq/ops/stdp.py), in the order read here.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

namespace spikeseq::stdp {

// Reads a list of numbers from front to back.
class Reader {
 public:
  Reader(const double* reals, int64_t reals_end, const int64_t* whole, int64_t whole_end)
      : reals_(reals), reals_end_(reals + reals_end), whole_(whole), whole_end_(whole + whole_end) {}

  double wide() { return reals_ < reals_end_ ? *reals_++ : throw std::out_of_range("too few real constants"); }
  float real() { return static_cast<float>(wide()); }
  int64_t whole() { return whole_ < whole_end_ ? *whole_++ : throw std::out_of_range("too few whole constants"); }
  // A count of steps or values, which loops keep in 32 bits.
  int32_t count() {
    const int64_t n = whole();
    if (n < 0 || n > std::numeric_limits<int32_t>::max()) throw std::out_of_range("a count does not fit 32 bits");
    return static_cast<int32_t>(n);
  }
  bool finished() const { return reals_ == reals_end_ && whole_ == whole_end_; }

  std::vector<float> table() {
    const int64_t size = count();
    if (size > reals_end_ - reals_) throw std::out_of_range("too few real constants");
    std::vector<float> values(static_cast<size_t>(size));
    for (float& value : values) value = real();
    return values;
  }

 private:
  const double *reals_, *reals_end_;
  const int64_t *whole_, *whole_end_;
};

// A conductance-based neuron over one step; voltages are relative to its rest.
struct Neuron {
  float rate;                  // of the membrane: step / time constant
  float excite, inhibit;       // equilibrium potentials of its two kinds of synapses
  float threshold, reset;
  float keep_e, keep_i;        // share of a conductance that a step leaves
  float mean_e, mean_i;        // a conductance's mean over a step, as a share of its value at the start
  int32_t refractory;          // steps after a spike

  explicit Neuron(Reader& from)
      : rate(from.real()), excite(from.real()), inhibit(from.real()), threshold(from.real()), reset(from.real()),
        keep_e(from.real()), keep_i(from.real()), mean_e(from.real()), mean_i(from.real()),
        refractory(from.count()) {}
};

// Equation 3.1 over one step, implicit in the membrane, so that no conductance makes it unstable.
inline float membrane(float v, float g_e, float g_i, const Neuron& k) {
  const float e = g_e * k.mean_e, i = g_i * k.mean_i;
  return (v + k.rate * (e * k.excite + i * k.inhibit)) / (1.0f + k.rate * (1.0f + e + i));
}

}  // namespace spikeseq::stdp
