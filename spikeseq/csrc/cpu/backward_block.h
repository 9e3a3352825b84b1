// Backward on a CPU, one block of neurons.
#pragma once

#include "block.h"

namespace spikeseq {

// One block of neurons on its way back through time, interval by interval: membranes first, computed again from the
// interval's checkpoint, then adjoints.
template <typename In, typename S>
struct BackwardBlock {
  const Shape& shape;
  const Choice& choice;
  const Rows<S>& rows;
  const Spans<S>& spans;
  const Backward<In, S>& b;
  const Block<S> block;
  const int64_t n = shape.neurons(), size = block.size;
  const int planes = 1 + memory_planes(choice.surrogate);
  const SurrogateScale<S> scale = choice.template scale<S>();
  const S keep_reset = choice.detach_reset ? S(0) : S(1);
  std::vector<S> membranes, slopes, memory, current_buffer, grad_buffer, grad_current;
  std::vector<S> a_membrane, a_spike, a_leak, a_threshold;  // a_leak: where leaks have no rows
  const Carried<S> carried;

  BackwardBlock(const Shape& shape, const Choice& choice, const Rows<S>& rows, const Spans<S>& spans,
                const Backward<In, S>& b, int64_t begin, int64_t end)
      : shape(shape), choice(choice), rows(rows), spans(spans), b(b),
        block(shape, b.leak, b.threshold, begin, end), membranes((kInterval + 1) * size),
        slopes(planes > 1 ? kInterval * size : 0), memory((planes - 1) * size), current_buffer(kSpan * size),
        grad_buffer(kSpan * size, S(0)), grad_current(kSpan * size, S(0)), a_membrane(size), a_spike(size, S(0)),
        a_leak(size, S(0)), a_threshold(size, S(0)),
        carried{block.threshold.data(), block.inverse_threshold.data(), a_membrane.data(), a_spike.data(),
                a_threshold.data()} {}

  S* u(int64_t i) { return &membranes[i * size]; }   // before sub-step i of the interval
  S* slope(int64_t i) { return &slopes[i * size]; }  // of the spike of sub-step i, where a memory decides it

  void run() {
    std::copy_n(b.grad_final + block.first, size, a_membrane.data());
    const int64_t last = block.steps;
    for (int64_t row = (last + shape.substeps - 1) / shape.substeps; row < shape.rows; ++row) {
      std::fill_n(b.grad_current + row * n + block.first, size, In(0));
      if (shape.leak_rows) std::fill_n(b.grad_leak + row * n + block.first, size, S(0));
    }
    for (int64_t stop = last; stop > 0;) {
      const int64_t start = (stop - 1) / kInterval * kInterval;
      recompute(start, stop);
      while (stop > start) stop = go_back(start, stop);
    }
    finish(last > 0 ? b.checkpoints : b.final_state);
  }

  // The membranes of the interval [start, stop), and the slopes that only its memory gives.
  void recompute(int64_t start, int64_t stop) {
    const S* checkpoint = b.checkpoints + start / kInterval * planes * n + block.first;
    std::copy_n(checkpoint, size, u(0));
    for (int p = 1; p < planes; ++p) std::copy_n(checkpoint + p * n, size, &memory[(p - 1) * size]);
    for (int64_t t = start; t < stop;) {
      const int steps = span(t, stop);
      const S *currents[kSpan], *leaks[kSpan];
      read_leaks(shape, block, b.leak, t, steps, leaks);
      read_currents(shape, block, b.current, choice.norm_input ? leaks : nullptr, t, steps, current_buffer, currents);
      for (const Segment& s : block.segments) {
        const int64_t o = s.begin, alive = std::clamp<int64_t>(s.steps - t, 0, steps);
        for (int i = 0; i < alive;) {
          const int now = alive == kSpan ? kSpan : 1;
          const S *from[kSpan], *leak[kSpan];
          S* next[kSpan];
          for (int k = 0; k < now; ++k) {
            from[k] = currents[i + k] + o;
            leak[k] = leaks[i + k] + o;
            next[k] = u(t - start + i + k + 1) + o;
          }
          spans.keep[loop_of(shape, now)](s.size, u(t - start + i) + o, from, leak, &block.threshold[o], next);
          i += now;
        }
        for (int i = 0; planes > 1 && i < alive; ++i) {
          const S* after = u(t - start + i + 1) + o;
          rows.remember(s.size, after, &block.threshold[o], scale, &memory[o], size);
          rows.slope(s.size, after, &block.inverse_threshold[o], scale, &memory[o], size, slope(t - start + i) + o);
        }
      }
      t += steps;
    }
  }

  // The last sub-steps of [start, stop), as many as go at once; returns where they began.
  int64_t go_back(int64_t start, int64_t stop) {
    const bool own = shape.substeps == 1;  // whether each sub-step has a current of its own
    int64_t first = start;
    if (!own) first = std::max(first, (stop - 1) / shape.substeps * shape.substeps);
    if (choice.readout != Readout::spikes) first = std::max(first, (stop - 1) / shape.window * shape.window);
    const int steps = planes == 1 && first + kSpan <= stop ? kSpan : 1;
    const int64_t t = stop - steps;
    const S* grads[kSpan];
    read_grads(t, steps, grads);
    const S *leaks[kSpan], *currents[kSpan];
    read_leaks(shape, block, b.leak, t, steps, leaks);
    if (choice.norm_input) read_currents<In, S>(shape, block, b.current, nullptr, t, steps, current_buffer, currents);
    S *to[kSpan], *by_leak[kSpan];
    for (int i = 0; i < steps; ++i) {
      to[i] = own ? own_row(t + i, i) : grad_current.data();
      by_leak[i] = shape.leak_rows ? b.grad_leak + (t + i) / shape.substeps * n + block.first : a_leak.data();
    }
    const bool row_begins = t % shape.substeps == 0, row_ends = stop % shape.substeps == 0;
    if (shape.leak_rows && !own && row_ends) std::fill_n(by_leak[0], size, S(0));
    for (const Segment& s : block.segments) {
      const int64_t alive = std::clamp<int64_t>(s.steps - t, 0, steps);
      if (choice.readout == Readout::membrane && stop % shape.window == 0 && stop <= s.steps) {
        const In* grad_out = b.grad_out + (stop - 1) / shape.window * n + block.first;
        for (int64_t j = s.begin; j < s.begin + s.size; ++j) a_membrane[j] += static_cast<S>(grad_out[j]);
      }
      for (int64_t i = alive; own && i < steps; ++i) {
        std::fill_n(to[i] + s.begin, s.size, S(0));
        if (shape.leak_rows) std::fill_n(by_leak[i] + s.begin, s.size, S(0));
      }
      if (alive == kSpan) {
        adjoint(s, t - start, kSpan, grads, leaks, to, by_leak);
      } else {
        for (int64_t i = alive - 1; i >= 0; --i)
          adjoint(s, t - start + i, 1, grads + i, leaks + i, to + i, by_leak + i);
      }
      const int64_t weighted = !choice.norm_input ? 0 : own ? alive : row_begins && alive > 0;
      for (int64_t i = 0, o = s.begin; i < weighted; ++i)
        weigh_adjoint_row(s.size, currents[i] + o, leaks[i] + o, to[i] + o, by_leak[i] + o);
    }
    if (own) {
      for (int i = 0; i < steps; ++i) store_own(t + i, to[i]);
    } else if (row_begins) {
      store_row(b.grad_current + t / shape.substeps * n + block.first, grad_current.data(), size);
      std::fill_n(grad_current.data(), size, S(0));
    }
    return t;
  }

  // The gradients of the spikes of each sub-step from t on.
  void read_grads(int64_t t, int steps, const S** grads) {
    const In* grad_out = b.grad_out + t / shape.window * n + block.first;
    const bool window_ends = (t + steps) % shape.window == 0;
    if (choice.readout == Readout::rate && (window_ends || t + steps == block.steps))
      for (int64_t j = 0; j < size; ++j) grad_buffer[j] = static_cast<S>(grad_out[j]) / S(shape.window);
    for (int i = 0; i < steps; ++i)
      grads[i] = choice.readout == Readout::spikes ? as_row(grad_out + i * n, size, &grad_buffer[i * size])
                                                   : grad_buffer.data();
  }

  // Where the gradient of a current goes that lasts one sub-step: in its place, or to be converted.
  S* own_row(int64_t t, int i) {
    if constexpr (std::is_same_v<In, S>) return b.grad_current + t * n + block.first;
    else return &grad_current[i * size];
  }
  void store_own(int64_t t, const S* row) {
    if constexpr (!std::is_same_v<In, S>) store_row(b.grad_current + t * n + block.first, row, size);
  }

  // A segment back through 1 or kSpan sub-steps, the first of them the i-th of the interval.
  void adjoint(const Segment& s, int64_t i, int steps, const S* const* grads, const S* const* leaks, S* const* to,
               S* const* by_leak) {
    const int64_t o = s.begin;
    const S *given[kSpan], *leak[kSpan];
    S *goes[kSpan], *leak_goes[kSpan];
    for (int k = 0; k < steps; ++k) {
      given[k] = grads[k] + o;
      leak[k] = leaks[k] + o;
      goes[k] = to[k] + o;
      leak_goes[k] = by_leak[k] + o;
    }
    const bool own = shape.substeps == 1;
    if (planes == 1)
      return (own ? spans.own[loop_of(shape, steps)] : spans.shared[steps > 1])(
          s.size, u(i) + o, size, given, scale, keep_reset, carried.from(o), leak, goes, leak_goes);
    if (own) std::fill_n(goes[0], s.size, S(0));
    if (own && shape.leak_rows) std::fill_n(leak_goes[0], s.size, S(0));
    rows.adjoint(s.size, u(i + 1) + o, u(i) + o, slope(i) + o, given[0], leak[0], &block.threshold[o],
                 &block.inverse_threshold[o], keep_reset, &a_membrane[o], &a_spike[o], leak_goes[0], &a_threshold[o],
                 goes[0]);
  }

  // The spike that follows from the supplied state itself.
  void finish(const S* planes_of_state) {
    const S* state = planes_of_state + block.first;
    std::vector<S> of_state(size);
    rows.slope(size, state, block.inverse_threshold.data(), scale, planes > 1 ? state + n : nullptr, n,
               of_state.data());
    for (int64_t j = 0; j < size; ++j) {
      Adjoint<S> a{a_membrane[j], a_spike[j], a_leak[j], a_threshold[j]};
      spike_adjoint(state[j], of_state[j], block.inverse_threshold[j], a);
      b.grad_state[block.first + j] = a.membrane;
      if (!shape.leak_rows) b.grad_leak[block.first + j] = a.leak;
      b.grad_threshold[block.first + j] = a.threshold;
    }
    for (int p = 1; p < planes; ++p) std::fill_n(b.grad_state + p * n + block.first, size, S(0));
  }
};

}  // namespace spikeseq
