// A CPU's share of the neurons: blocks whose state stays in cache over all of time.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "rows.h"
#include "spans.h"

namespace spikeseq {

constexpr int64_t kBlock = 2048;

// Neurons of a block that belong to one batch entry and so have one length.
struct Segment {
  int64_t begin, size, steps;
};

template <typename S>
struct Block {
  int64_t first, size, steps;  // steps: of the longest segment
  std::vector<Segment> segments;
  std::vector<S> leak, threshold, inverse_threshold;

  Block(const Shape& shape, const S* leaks, const S* thresholds, int64_t begin, int64_t end)
      : first(begin), size(end - begin), steps(0), leak(size), threshold(size), inverse_threshold(size) {
    for (int64_t j = 0; j < size; ++j) {
      const int64_t c = shape.channel(begin + j);
      if (!shape.leak_rows) leak[j] = leaks[c];
      threshold[j] = thresholds[c];
      inverse_threshold[j] = S(1) / threshold[j];
    }
    int64_t at = begin;
    while (at < end) {
      const int64_t stop = shape.lengths ? std::min(end, (at / shape.inner + 1) * shape.inner) : end;
      segments.push_back({at - begin, stop - at, shape.steps_of(at)});
      steps = std::max(steps, segments.back().steps);
      at = stop;
    }
  }
};

template <typename Work>
void for_each_block(const Shape& shape, const Work& work) {
  const int64_t n = shape.neurons(), threads = at::get_num_threads();
  const int64_t share = (n + threads - 1) / threads;
  const int64_t size = std::clamp<int64_t>((share + 15) / 16 * 16, 64, kBlock);
  const int64_t blocks = (n + size - 1) / size;
  // A thread is worth waking for some ten thousand updates.
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, size * shape.steps()));
  at::parallel_for(0, blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) work(b * size, std::min(n, (b + 1) * size));
  });
}

// Sub-steps from t on that are taken at once: kSpan, or one where fewer are left before `stop`.
inline int span(int64_t t, int64_t stop) { return t + kSpan <= stop ? kSpan : 1; }

// Which of the loops of `Spans` takes so many sub-steps.
inline int loop_of(const Shape& shape, int steps) { return (steps > 1) + 2 * shape.leak_rows; }

// The leaks of sub-steps from t on: those of their rows of current, or the block's for all of them.
template <typename S>
void read_leaks(const Shape& shape, const Block<S>& block, const S* leak, int64_t t, int64_t steps, const S** leaks) {
  for (int64_t i = 0; i < steps; ++i)
    leaks[i] = shape.leak_rows ? leak + (t + i) / shape.substeps * shape.neurons() + block.first : block.leak.data();
}

// The currents of sub-steps from t on in the type of the arithmetic, weighted if there are leaks: rows as they are, or made
// in `buffer`.
template <typename In, typename S>
void read_currents(const Shape& shape, const Block<S>& block, const In* current, const S* const* leaks, int64_t t,
                   int64_t steps, std::vector<S>& buffer, const S** currents) {
  for (int64_t i = 0; i < steps; ++i) {
    if (i > 0 && (t + i) % shape.substeps > 0) {
      currents[i] = currents[i - 1];
      continue;
    }
    const In* row = current + (t + i) / shape.substeps * shape.neurons() + block.first;
    S* own = &buffer[i * block.size];
    currents[i] = as_row(row, block.size, own);
    if (!leaks) continue;
    weigh_row(block.size, currents[i], leaks[i], own);
    currents[i] = own;
  }
}

}  // namespace spikeseq
