// Forward on a CPU, one block of neurons.
#pragma once

#include "block.h"

namespace spikeseq {

// One block of neurons on its way through time.
template <typename In, typename S>
struct ForwardBlock {
  const Shape& shape;
  const Choice& choice;
  const Rows<S>& rows;
  const Spans<S>& spans;
  const Forward<In, S>& f;
  const Block<S> block;
  const int64_t n = shape.neurons(), size = block.size;
  const int planes = 1 + memory_planes(choice.surrogate);
  const SurrogateScale<S> scale = choice.template scale<S>();
  std::vector<S> state, membranes, current_buffer, count;

  ForwardBlock(const Shape& shape, const Choice& choice, const Rows<S>& rows, const Spans<S>& spans,
               const Forward<In, S>& f, int64_t begin, int64_t end)
      : shape(shape), choice(choice), rows(rows), spans(spans), f(f),
        block(shape, f.leak, f.threshold, begin, end), state(planes * size), membranes(kSpan * size),
        current_buffer(kSpan * size), count(size, S(0)) {}

  In* out_row(int64_t t) const { return f.out + t / shape.window * n + block.first; }

  void run() {
    for (int p = 0; p < planes; ++p) std::copy_n(f.state + p * n + block.first, size, &state[p * size]);
    for (int64_t t = 0; t < shape.steps();) {
      int64_t stop = std::min(shape.steps(), (t / kInterval + 1) * kInterval);
      if (choice.readout != Readout::spikes) stop = std::min(stop, (t / shape.window + 1) * shape.window);
      const int steps = planes > 1 ? 1 : span(t, stop);
      if (t % kInterval == 0 && t < block.steps)
        for (int p = 0; p < planes; ++p)
          std::copy_n(&state[p * size], size, f.checkpoints + (t / kInterval * planes + p) * n + block.first);
      const S *currents[kSpan], *leaks[kSpan];
      const int64_t read = std::clamp<int64_t>(block.steps - t, 0, steps);
      read_leaks(shape, block, f.leak, t, read, leaks);
      read_currents(shape, block, f.current, choice.norm_input ? leaks : nullptr, t, read, current_buffer, currents);
      for (const Segment& s : block.segments) {
        const int alive = static_cast<int>(std::clamp<int64_t>(s.steps - t, 0, steps));
        if (alive == steps) {
          advance(s, t, steps, currents, leaks);
        } else {
          for (int i = 0; i < alive; ++i) advance(s, t + i, 1, currents + i, leaks + i);
          for (int64_t i = t + alive; choice.readout == Readout::spikes && i < t + steps; ++i)
            std::fill_n(out_row(i) + s.begin, s.size, In(0));
        }
        if (choice.readout != Readout::spikes && (t + steps) % shape.window == 0) read_out(s, t + steps - 1);
      }
      t += steps;
    }
    for (int p = 0; p < planes; ++p) std::copy_n(&state[p * size], size, f.final_state + p * n + block.first);
  }

  // A segment through 1 or kSpan sub-steps.
  void advance(const Segment& s, int64_t t, int steps, const S* const* currents, const S* const* leaks) {
    const int64_t o = s.begin;
    S* u = &state[o];
    const S* threshold = &block.threshold[o];
    const S *from[kSpan], *leak[kSpan];
    for (int i = 0; i < steps; ++i) { from[i] = currents[i] + o; leak[i] = leaks[i] + o; }
    const int loop = loop_of(shape, steps);
    int bad = 0;
    if (planes > 1) {
      bad = spans.move[loop](s.size, u, from, leak, threshold);
      rows.remember(s.size, u, threshold, scale, &state[size + o], size);
      if (choice.readout == Readout::spikes) store_spikes(out_row(t) + o, u, threshold, s.size);
      for (int64_t j = 0; choice.readout == Readout::rate && j < s.size; ++j)
        count[o + j] += fires(u[j], threshold[j]) ? S(1) : S(0);
    } else if (choice.readout == Readout::rate) {
      bad = spans.count[loop](s.size, u, from, leak, threshold, &count[o]);
    } else if (choice.readout == Readout::membrane) {
      bad = spans.move[loop](s.size, u, from, leak, threshold);
    } else if constexpr (std::is_same_v<In, S>) {
      S* to[kSpan];
      for (int i = 0; i < steps; ++i) to[i] = out_row(t + i) + o;
      bad = spans.fire[loop](s.size, u, from, leak, threshold, to);
    } else {
      S* next[kSpan];
      for (int i = 0; i < steps; ++i) next[i] = &membranes[i * size + o];
      bad = spans.keep[loop](s.size, u, from, leak, threshold, next);
      for (int i = 0; i < steps; ++i) store_spikes(out_row(t + i) + o, next[i], threshold, s.size);
      std::copy_n(next[steps - 1], s.size, u);
    }
    for (int i = 0; bad && i < steps; ++i)
      for (int64_t j = 0; j < s.size; ++j)
        TORCH_CHECK_VALUE(leak[i][j] >= 0 && leak[i][j] <= 1, "leak must lie in [0, 1], got ", leak[i][j]);
  }

  // A segment's row at the end of a window.
  void read_out(const Segment& s, int64_t t) {
    In* out = out_row(t) + s.begin;
    if (choice.readout == Readout::membrane) {
      if (t < s.steps) store_row(out, &state[s.begin], s.size);
      else std::fill_n(out, s.size, In(0));
    } else {
      for (int64_t j = 0; j < s.size; ++j) out[j] = static_cast<In>(count[s.begin + j] / S(shape.window));
      std::fill_n(&count[s.begin], s.size, S(0));
    }
  }
};

}  // namespace spikeseq
