// Tiles of Winograd's convolutions, F(4 x 4, 3 x 3) of Lavin and Gray (arXiv 1509.09308, section 4.3): 6 x 6 pixels that give
// 4 x 4 outputs, taken to 36 values that are multiplied one by one, and back. Pixels are vectors of neighbouring channels.
#pragma once

#include "vectors.h"

namespace spikeseq {

constexpr int kTile = 6, kMade = 4, kPoints = kTile * kTile;

// The maps along one side, each of rows `s` apart to rows `q` apart.

struct ToPoints {  // B^T, of the input
  static constexpr int kFrom = kTile, kTo = kTile;
  template <typename L>
  static void row(const L* d, int s, L* to, int q) {
    const L a = d[4 * s] - 4 * d[2 * s], b = d[3 * s] - 4 * d[s], c = d[4 * s] - d[2 * s], e = 2 * (d[3 * s] - d[s]);
    to[0] = 4 * d[0] - 5 * d[2 * s] + d[4 * s];
    to[q] = a + b;
    to[2 * q] = a - b;
    to[3 * q] = c + e;
    to[4 * q] = c - e;
    to[5 * q] = 4 * d[s] - 5 * d[3 * s] + d[5 * s];
  }
};

struct FromPoints {  // A^T, to the output
  static constexpr int kFrom = kTile, kTo = kMade;
  template <typename L>
  static void row(const L* m, int s, L* to, int q) {
    const L a = m[s] + m[2 * s], b = m[s] - m[2 * s], c = m[3 * s] + m[4 * s], d = m[3 * s] - m[4 * s];
    to[0] = m[0] + a + c;
    to[q] = b + 2 * d;
    to[2 * q] = a + 4 * c;
    to[3 * q] = b + 8 * d + m[5 * s];
  }
};

struct FromPointsAdjoint {  // A, of the output's gradient
  static constexpr int kFrom = kMade, kTo = kTile;
  template <typename L>
  static void row(const L* g, int s, L* to, int q) {
    const L a = g[0] + g[2 * s], b = g[s] + g[3 * s], c = g[0] + 4 * g[2 * s], d = 2 * g[s] + 8 * g[3 * s];
    to[0] = g[0];
    to[q] = a + b;
    to[2 * q] = a - b;
    to[3 * q] = c + d;
    to[4 * q] = c - d;
    to[5 * q] = g[3 * s];
  }
};

struct ToPointsAdjoint {  // B, to the input's gradient
  static constexpr int kFrom = kTile, kTo = kTile;
  template <typename L>
  static void row(const L* m, int s, L* to, int q) {
    const L a = m[s] + m[2 * s], b = m[s] - m[2 * s], c = m[3 * s] + m[4 * s], d = m[3 * s] - m[4 * s];
    to[0] = 4 * m[0];
    to[q] = 4 * m[5 * s] - 4 * b - 2 * d;
    to[2 * q] = -5 * m[0] - 4 * a - c;
    to[3 * q] = b + 2 * d - 5 * m[5 * s];
    to[4 * q] = m[0] + a + c;
    to[5 * q] = m[5 * s];
  }
};

// Along both sides: a tile of Map::kFrom squared to one of Map::kTo squared.
template <typename Map, typename L>
inline void both_sides(const L* from, L* to) {
  L half[Map::kTo * Map::kFrom];
  for (int j = 0; j < Map::kFrom; ++j) Map::row(from + j, Map::kFrom, half + j, Map::kFrom);
  for (int i = 0; i < Map::kTo; ++i) Map::row(half + i * Map::kFrom, 1, to + i * Map::kTo, 1);
}

}  // namespace spikeseq
