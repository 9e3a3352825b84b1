// Sums of rows of a matrix, each times a value, as lists of values that are not zero say: of spikes. The columns go in
// narrow strips, so that the part of the matrix that a list may ask for stays in the nearest cache.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "../../vectors.h"

namespace spikeseq {

constexpr int kStripVectors = 4;  // of a strip (2: a seventh slower)

// ---- values that are not zero, and where they stand

template <typename S>
struct EventList {
  int64_t count;
  const uint16_t* places;
  const S* values;
};

// The only value beside zero, as spikes have one; zero where there are several, or none.
template <typename S>
S only_value(int64_t size, const S* x) {
  constexpr int64_t kBlock = 1024;
  S value(0);
  for (int64_t start = 0; start < size; start += kBlock) {
    const S* from = x + start;
    const int64_t n = std::min(kBlock, size - start);
    for (int64_t i = 0; i < n && value == S(0); ++i) value = from[i];
    int other = 0;
    for (int64_t i = 0; i < n; ++i) other |= (from[i] != S(0)) & (from[i] != value);
    if (other) return S(0);
  }
  return value;
}

// Of every row.
template <typename S>
struct ByRow {
  std::vector<int64_t> first;
  std::vector<uint16_t> places;
  std::vector<S> values;

  ByRow(int64_t rows, int64_t width, const S* x) : first(rows + 1) {
    at::parallel_for(0, rows, 256, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        int64_t n = 0;
        for (int64_t j = 0; j < width; ++j) n += x[r * width + j] != S(0);
        first[r + 1] = n;
      }
    });
    for (int64_t r = 0; r < rows; ++r) first[r + 1] += first[r];
  }

  int64_t total() const { return first.back(); }

  void list(int64_t width, const S* x) {
    places.resize(total());
    values.resize(total());
    at::parallel_for(0, static_cast<int64_t>(first.size()) - 1, 256, [&](int64_t begin, int64_t end) {
      std::vector<uint16_t> row(width + 1);
      for (int64_t r = begin; r < end; ++r) {
        const S* from = x + r * width;
        int64_t n = 0;
        for (int64_t j = 0; j < width; ++j) {
          row[n] = static_cast<uint16_t>(j);
          n += from[j] != S(0);
        }
        for (int64_t i = 0; i < n; ++i) {
          places[first[r] + i] = row[i];
          values[first[r] + i] = from[row[i]];
        }
      }
    });
  }

  EventList<S> of(int64_t r) const { return {first[r + 1] - first[r], &places[0] + first[r], &values[0] + first[r]}; }
};

// Of every column, over some rows, which places are counted from.
template <typename S>
struct ByColumn {
  std::vector<int64_t> first, last;
  std::vector<uint16_t> places;
  std::vector<S> values;

  ByColumn(int64_t rows, int64_t width, const S* x) : first(width), last(width) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < width; ++j) last[j] += x[r * width + j] != S(0);
    int64_t total = 0;
    for (int64_t j = 0; j < width; ++j) {
      const int64_t count = last[j];
      first[j] = last[j] = total;
      total += count + 1;  // one to spare: what is zero is written, too, and then written over
    }
    places.resize(total);
    values.resize(total);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < width; ++j) {
        const S value = x[r * width + j];
        places[last[j]] = static_cast<uint16_t>(r);
        values[last[j]] = value;
        last[j] += value != S(0);
      }
  }

  // Those of rows [low, high).
  EventList<S> of(int64_t j, int64_t low, int64_t high) const {
    const uint16_t *from = &places[first[j]], *to = &places[0] + last[j];
    if (low > 0) from = std::lower_bound(from, to, low);
    to = std::lower_bound(from, to, high);
    return {to - from, from, &values[from - &places[0]]};
  }
  EventList<S> of(int64_t j) const { return {last[j] - first[j], &places[first[j]], &values[first[j]]}; }
};

// ---- sums of rows of a table; every sum takes its events in their order, so that all ways give the same bits

// to[0..N vectors) += sum over i of value[i] * rows[i], the sums in registers.
template <int N, typename S>
inline void gather_values(const EventList<S>& e, const S* rows, int64_t stride, S* to) {
  constexpr int64_t kLanes = Vector<S>::kLanes;
  typename Vector<S>::Lanes sums[N];
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) sums[n] = Vector<S>::load(to + n * kLanes);
  for (int64_t i = 0; i < e.count; ++i) {
    const S value = e.values[i];
    const S* row = rows + e.places[i] * stride;
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) sums[n] += value * Vector<S>::load(row + n * kLanes);
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) Vector<S>::store(to + n * kLanes, sums[n]);
}

template <typename S, int N>
void add_value_rows(std::integral_constant<int, N>, int64_t left, const EventList<S>& e, const S* rows, int64_t stride,
                    S* to) {
  if constexpr (N > 0) {
    gather_values<N>(e, rows, stride, to);
  } else {
    for (int64_t i = 0; i < e.count; ++i)
      for (int64_t c = 0; c < left; ++c) to[c] += e.values[i] * rows[e.places[i] * stride + c];
  }
}

// The columns of a matrix, times a number, in strips of kStripVectors vectors, each row after row, the last one filled
// with zeros.
template <typename S>
struct Strips {
  static constexpr int64_t kWidth = kStripVectors * Vector<S>::kLanes;
  static int64_t count(int64_t columns) { return columns / kWidth + (columns % kWidth > 0); }

  static void copy(int64_t rows, int64_t columns, int64_t strip, S scale, const S* from, S* to) {
    const int64_t first = strip * kWidth, width = std::min(kWidth, columns - first);
    for (int64_t r = 0; r < rows; ++r) {
      const S* row = from + r * columns + first;
      if (width == kWidth) {
        for (int64_t c = 0; c < kWidth; ++c) to[r * kWidth + c] = scale * row[c];
      } else {
        for (int64_t c = 0; c < width; ++c) to[r * kWidth + c] = scale * row[c];
        std::fill_n(to + r * kWidth + width, kWidth - width, S(0));
      }
    }
  }
};

// Two sums of rows of a strip, side by side, as each waits for its own last addition. With kOne all values are the
// same, and the strip has been multiplied by it.
template <bool kOne, typename S>
inline void sum_pair(const EventList<S>& a, const EventList<S>& b, const S* strip, S* to_a, S* to_b) {
  constexpr int64_t kLanes = Vector<S>::kLanes, kWidth = Strips<S>::kWidth;
  typename Vector<S>::Lanes of_a[kStripVectors], of_b[kStripVectors];
#pragma GCC unroll 8
  for (int n = 0; n < kStripVectors; ++n) {
    of_a[n] = Vector<S>::load(to_a + n * kLanes);
    of_b[n] = Vector<S>::load(to_b + n * kLanes);
  }
  const auto add = [&](const EventList<S>& e, int64_t i, auto& sums) {
    const S* row = strip + e.places[i] * kWidth;
#pragma GCC unroll 8
    for (int n = 0; n < kStripVectors; ++n) {
      if constexpr (kOne) sums[n] += Vector<S>::load(row + n * kLanes);
      else sums[n] += e.values[i] * Vector<S>::load(row + n * kLanes);
    }
  };
  const int64_t both = std::min(a.count, b.count);
  for (int64_t i = 0; i < both; ++i) {
    add(a, i, of_a);
    add(b, i, of_b);
  }
  for (int64_t i = both; i < a.count; ++i) add(a, i, of_a);
  for (int64_t i = both; i < b.count; ++i) add(b, i, of_b);
#pragma GCC unroll 8
  for (int n = 0; n < kStripVectors; ++n) {
    Vector<S>::store(to_a + n * kLanes, of_a[n]);
    Vector<S>::store(to_b + n * kLanes, of_b[n]);
  }
}

// Rows [first, last) of `to`, `width` columns of them: each gets the sum of what events(row) says of the strip.
template <bool kOne, typename S, typename Each>
void sum_rows(int64_t first, int64_t last, int64_t width, int64_t stride, const S* strip, S* to, const Each& events) {
  constexpr int64_t kWidth = Strips<S>::kWidth;
  S beside[2 * kWidth] = {};  // where a row has fewer columns than a strip, and where there is no second row
  for (int64_t r = first; r < last; r += 2) {
    const bool two = r + 1 < last;
    S *a = to + r * stride, *b = two ? a + stride : beside + kWidth;
    const EventList<S> of_a = events(r), of_b = two ? events(r + 1) : EventList<S>{0, nullptr, nullptr};
    if (width == kWidth) {
      sum_pair<kOne>(of_a, of_b, strip, a, b);
      continue;
    }
    std::copy_n(a, width, beside);
    if (two) std::copy_n(b, width, beside + kWidth);
    sum_pair<kOne>(of_a, of_b, strip, beside, beside + kWidth);
    std::copy_n(beside, width, a);
    if (two) std::copy_n(beside + kWidth, width, b);
  }
}

}  // namespace spikeseq
