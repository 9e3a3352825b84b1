// x to the power of p for x >= 0, from additions and products alone, so that the oracle finds the same bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace spikeseq::stdp {

inline float log2_of(float x) {
  int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const int32_t exponent = (bits - 0x3f3504f3) >> 23;  // so that what is left lies in [sqrt(1/2), sqrt(2))
  bits -= exponent << 23;
  float m;
  std::memcpy(&m, &bits, sizeof m);
  // 2/ln 2 times the series of the inverse hyperbolic tangent
  const float s = (m - 1.0f) / (m + 1.0f), q = s * s;
  const float series = 2.8853900f + q * (0.96179669f + q * (0.57707802f + q * 0.41219858f));
  return static_cast<float>(exponent) + s * series;
}

// Of -126 at least, the exponent of the smallest normal number.
inline float exp2_of(float x) {
  x = x < -126.0f ? -126.0f : x;
  const float whole = std::floor(x + 0.5f), f = x - whole;
  const float high = 0.0096181291f + f * (0.0013333558f + f * 0.00015403530f);
  const float p = 1.0f + f * (0.69314718f + f * (0.24022651f + f * (0.055504109f + f * high)));
  const int32_t bits = (static_cast<int32_t>(whole) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

// 0 below the smallest normal number's power.
inline float power(float x, float p) { return x > 1e-30f ? exp2_of(p * log2_of(x)) : 0.0f; }

}  // namespace spikeseq::stdp
