// Random numbers by counting: a draw depends on what it is for, and not on what was drawn before or by which thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>

namespace spikeseq::stdp {

// SplitMix64 (Steele, Lea and Flood 2014).
inline uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

class Draws {
 public:
  explicit Draws(std::initializer_list<int64_t> purpose) {
    for (int64_t one : purpose) state_ = mixed(state_ + kStep + static_cast<uint64_t>(one));
  }
  // Draws for one of several purposes within these.
  Draws of(int64_t a, int64_t b, int64_t c) const {
    Draws one = *this;
    for (int64_t next : {a, b, c}) one.state_ = mixed(one.state_ + kStep + static_cast<uint64_t>(next));
    return one;
  }

  // Above 0 and below 1.
  double next() { return (static_cast<double>(mixed(state_ += kStep) >> 12) + 0.5) * 0x1p-52; }

 private:
  static constexpr uint64_t kStep = 0x9e3779b97f4a7c15ull;
  uint64_t state_ = 0;
};

// What draws are for.
enum Purpose : int64_t { kLearning = 1, kSwitching = 2, kRecall = 3 };

// The steps of [begin, end) in which something happens that has `probability` in each: gaps are geometric, so that
// silence costs nothing.
template <typename Each>
void happenings(Draws draws, double probability, int64_t begin, int64_t end, const Each& each) {
  if (!(probability > 0)) return;
  const double scale = 1.0 / std::log1p(-probability);  // 0 where it happens in every step
  for (double at = static_cast<double>(begin);; at += 1.0) {
    at += std::floor(std::log(draws.next()) * scale);
    if (!(at < static_cast<double>(end))) return;
    each(static_cast<int64_t>(at));
  }
}

}  // namespace spikeseq::stdp
