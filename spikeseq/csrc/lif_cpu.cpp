// LIF on the CPU. Neurons are cut into blocks whose state stays in cache over all of time; inside a
// block, one row of neurons at a time is updated by the loops of rows.h. Blocks are independent, so
// neither their size nor the number of threads changes a result.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "binding.h"
#include "memory.h"
#include "problem.h"
#include "rows.h"

namespace spikeseq {
namespace {

constexpr int64_t kBlock = 2048;

// ---- blocks ------------------------------------------------------------------------------------

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
      leak[j] = leaks[c];
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

// ---- forward -----------------------------------------------------------------------------------

template <typename In, typename S>
void forward_block(const Shape& shape, const Choice& choice, const Rows<S>& rows,
                   const Forward<In, S>& f, int64_t begin, int64_t end) {
  const Block<S> block(shape, f.leak, f.threshold, begin, end);
  const int64_t n = shape.neurons(), size = block.size;
  const int planes = 1 + memory_planes(choice.surrogate);
  const auto scale = choice.template scale<S>();
  std::vector<S> state(planes * size), spare(size), current_buffer(size), count(size, S(0));
  for (int p = 0; p < planes; ++p) std::copy_n(f.state + p * n + begin, size, &state[p * size]);
  S* u = state.data();
  S* next = spare.data();
  S* memory = planes > 1 ? &state[size] : nullptr;
  const S* current = nullptr;
  const auto flush = [&](In* out) {  // a row of rates; zeros for the other read-outs, which do not count
    for (int64_t j = 0; j < size; ++j) out[j] = static_cast<In>(count[j] / S(shape.window));
    std::fill(count.begin(), count.end(), S(0));
  };

  for (int64_t t = 0; t < shape.steps(); ++t) {
    const bool row_begins = t % shape.substeps == 0, window_ends = (t + 1) % shape.window == 0;
    In* out = f.out + t / shape.window * n + begin;
    if (t >= block.steps) {  // every sequence of the block has ended
      if (window_ends) flush(out);
      continue;
    }
    if (t % kInterval == 0) {
      S* checkpoint = f.checkpoints + t / kInterval * planes * n + begin;
      std::copy_n(u, size, checkpoint);
      for (int p = 1; p < planes; ++p) std::copy_n(&state[p * size], size, checkpoint + p * n);
    }
    if (row_begins) current = as_row(f.current + t / shape.substeps * n + begin, size, current_buffer.data());
    for (const Segment& s : block.segments) {
      const int64_t o = s.begin;
      if (t >= s.steps) {
        std::copy_n(u + o, s.size, next + o);
        if (choice.readout != Readout::rate && window_ends) std::fill_n(out + o, s.size, In(0));
        continue;
      }
      rows.update(s.size, u + o, current + o, &block.leak[o], &block.threshold[o], next + o);
      if (memory) rows.remember(s.size, next + o, &block.threshold[o], scale, memory + o, size);
      const S* threshold = &block.threshold[o];
      if (choice.readout == Readout::spikes) {
        store_spikes(out + o, next + o, threshold, s.size);
      } else if (choice.readout == Readout::rate) {
#pragma omp simd
        for (int64_t j = 0; j < s.size; ++j) count[o + j] += fires(next[o + j], threshold[j]) ? S(1) : S(0);
      } else if (window_ends) {
        store_row(out + o, next + o, s.size);
      }
    }
    std::swap(u, next);
    if (choice.readout == Readout::rate && window_ends) flush(out);
  }
  std::copy_n(u, size, f.final_state + begin);
  for (int p = 1; p < planes; ++p) std::copy_n(memory + (p - 1) * size, size, f.final_state + p * n + begin);
}

// ---- backward ----------------------------------------------------------------------------------

// The membranes and slopes of one interval, recomputed from its checkpoint.
template <typename S>
struct History {
  int64_t size;
  std::vector<S> membrane, slopes, memory, current_buffer;
  History(int64_t size, int planes)
      : size(size), membrane((kInterval + 1) * size), slopes((planes > 1 ? kInterval : 1) * size),
        memory((planes - 1) * size), current_buffer(size) {}
  S* u(int64_t i) { return &membrane[i * size]; }       // before sub-step i of the interval
  // Of the spike of sub-step i; one row for all where no memory decides it and it can be had at any time.
  S* slope(int64_t i) { return &slopes[memory.empty() ? 0 : i * size]; }
};

template <typename In, typename S>
void recompute(const Shape& shape, const Choice& choice, const Rows<S>& rows, const Backward<In, S>& b,
               const Block<S>& block, int64_t begin, int64_t end, History<S>& h) {
  const int64_t n = shape.neurons(), size = block.size;
  const int planes = 1 + memory_planes(choice.surrogate);
  const auto scale = choice.template scale<S>();
  const S* checkpoint = b.checkpoints + begin / kInterval * planes * n + block.first;
  std::copy_n(checkpoint, size, h.u(0));
  for (int p = 1; p < planes; ++p) std::copy_n(checkpoint + p * n, size, &h.memory[(p - 1) * size]);
  const S* current = nullptr;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t i = t - begin;
    if (t == begin || t % shape.substeps == 0)
      current = as_row(b.current + t / shape.substeps * n + block.first, size, h.current_buffer.data());
    for (const Segment& s : block.segments) {
      const int64_t o = s.begin;
      if (t >= s.steps) {
        std::copy_n(h.u(i) + o, s.size, h.u(i + 1) + o);
        continue;
      }
      rows.update(s.size, h.u(i) + o, current + o, &block.leak[o], &block.threshold[o], h.u(i + 1) + o);
      if (planes == 1) continue;
      rows.remember(s.size, h.u(i + 1) + o, &block.threshold[o], scale, &h.memory[o], size);
      rows.slope(s.size, h.u(i + 1) + o, &block.inverse_threshold[o], scale, &h.memory[o], size, h.slope(i) + o);
    }
  }
}

template <typename In, typename S>
void backward_block(const Shape& shape, const Choice& choice, const Rows<S>& rows,
                    const Backward<In, S>& b, int64_t begin, int64_t end) {
  const Block<S> block(shape, b.leak, b.threshold, begin, end);
  const int64_t n = shape.neurons(), size = block.size;
  const int planes = 1 + memory_planes(choice.surrogate);
  const auto scale = choice.template scale<S>();
  const S keep_reset = choice.detach_reset ? S(0) : S(1);
  History<S> h(size, planes);
  std::vector<S> a_membrane(size), a_spike(size, S(0)), a_leak(size, S(0)), a_threshold(size, S(0));
  std::vector<S> grad_current(size, S(0)), grad_spike(size, S(0));
  std::copy_n(b.grad_final + begin, size, a_membrane.data());

  const int64_t last = block.steps;
  for (int64_t row = (last + shape.substeps - 1) / shape.substeps; row < shape.rows; ++row)
    std::fill_n(b.grad_current + row * n + begin, size, In(0));

  // The interval under way is [start, stop).
  for (int64_t stop = last; stop > 0;) {
    const int64_t start = (stop - 1) / kInterval * kInterval;
    recompute(shape, choice, rows, b, block, start, stop, h);
    for (int64_t t = stop - 1; t >= start; --t) {
      const int64_t i = t - start;
      const bool window_ends = (t + 1) % shape.window == 0;
      const In* grad_out = b.grad_out + t / shape.window * n + begin;
      const S* g = grad_spike.data();
      if (choice.readout == Readout::spikes) {
        g = as_row(grad_out, size, grad_spike.data());
      } else if (choice.readout == Readout::rate && (window_ends || t == last - 1)) {
        for (int64_t j = 0; j < size; ++j) grad_spike[j] = static_cast<S>(grad_out[j]) / S(shape.window);
      }
      for (const Segment& s : block.segments) {
        const int64_t o = s.begin;
        if (t >= s.steps) continue;
        if (choice.readout == Readout::membrane && window_ends)
          for (int64_t j = o; j < o + s.size; ++j) a_membrane[j] += static_cast<S>(grad_out[j]);
        if (planes == 1)
          rows.slope(s.size, h.u(i + 1) + o, &block.inverse_threshold[o], scale, nullptr, 0, h.slope(i) + o);
        rows.adjoint(s.size, h.u(i + 1) + o, h.u(i) + o, h.slope(i) + o, g + o, &block.leak[o],
                     &block.threshold[o], &block.inverse_threshold[o], keep_reset, &a_membrane[o],
                     &a_spike[o], &a_leak[o], &a_threshold[o], &grad_current[o]);
      }
      if (t % shape.substeps == 0) {
        store_row(b.grad_current + t / shape.substeps * n + begin, grad_current.data(), size);
        std::fill(grad_current.begin(), grad_current.end(), S(0));
      }
    }
    stop = start;
  }

  // The spike that follows from the supplied state itself.
  const S* first = last > 0 ? b.checkpoints : b.final_state;
  std::vector<S> slopes(size);
  rows.slope(size, first + begin, block.inverse_threshold.data(), scale,
             planes > 1 ? first + n + begin : nullptr, n, slopes.data());
  for (int64_t j = 0; j < size; ++j) {
    Adjoint<S> a{a_membrane[j], a_spike[j], a_leak[j], a_threshold[j]};
    spike_adjoint(first[begin + j], slopes[j], block.inverse_threshold[j], a);
    b.grad_state[begin + j] = a.membrane;
    b.grad_leak[begin + j] = a.leak;
    b.grad_threshold[begin + j] = a.threshold;
  }
  for (int p = 1; p < planes; ++p) std::fill_n(b.grad_state + p * n + begin, size, S(0));
}

// Sums per-neuron gradients over batch and inner, always in the same order.
template <typename S>
void sum_channels(const Shape& shape, const S* per_neuron, S* per_channel) {
  const int64_t width = shape.inner / shape.channels;
  std::vector<double> parts(shape.batch * shape.channels);
  at::parallel_for(0, static_cast<int64_t>(parts.size()), std::max<int64_t>(1, 65536 / width),
                   [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      parts[i] = std::accumulate(per_neuron + i * width, per_neuron + (i + 1) * width, 0.0);
  });
  for (int64_t c = 0; c < shape.channels; ++c) {
    double sum = 0;
    for (int64_t b = 0; b < shape.batch; ++b) sum += parts[b * shape.channels + c];
    per_channel[c] = static_cast<S>(sum);
  }
}

}  // namespace

struct Cpu {
  static at::Tensor empty(at::IntArrayRef sizes, const at::TensorOptions& options) { return empty_kept(sizes, options); }

  template <typename In, typename S>
  static void forward(const Shape& shape, const Choice& choice, const Forward<In, S>& f) {
    const Rows<S> rows(choice);
    for_each_block(shape, [&](int64_t begin, int64_t end) {
      forward_block(shape, choice, rows, f, begin, end);
    });
  }

  template <typename In, typename S>
  static void backward(const Shape& shape, const Choice& choice, const Backward<In, S>& b) {
    const Rows<S> rows(choice);
    for_each_block(shape, [&](int64_t begin, int64_t end) {
      backward_block(shape, choice, rows, b, begin, end);
    });
  }

  static at::Tensor sum_channels(const Shape& shape, const at::Tensor& per_neuron) {
    at::Tensor sums = at::empty({shape.channels}, per_neuron.options());
    AT_DISPATCH_FLOATING_TYPES(per_neuron.scalar_type(), "sum_channels", [&] {
      spikeseq::sum_channels(shape, per_neuron.const_data_ptr<scalar_t>(), sums.data_ptr<scalar_t>());
    });
    return sums;
  }

  // The values of CPU tensors are checked here; a GPU's are not read back (see spikeseq.debug).
  static void check(const Shape& shape, const at::Tensor& leak, const at::Tensor& threshold,
                    const std::optional<at::Tensor>& lengths) {
    AT_DISPATCH_FLOATING_TYPES(leak.scalar_type(), "check", [&] {
      const scalar_t* l = leak.const_data_ptr<scalar_t>();
      const scalar_t* v = threshold.const_data_ptr<scalar_t>();
      for (int64_t c = 0; c < shape.channels; ++c) {
        TORCH_CHECK_VALUE(l[c] >= 0 && l[c] <= 1, "leak must lie in [0, 1], got ", l[c]);
        TORCH_CHECK_VALUE(v[c] > 0 && std::isfinite(v[c]), "threshold must be positive and finite, got ", v[c]);
      }
    });
    if (!lengths) return;
    for (int64_t b = 0; b < shape.batch; ++b)
      TORCH_CHECK_VALUE(shape.lengths[b] >= 0 && shape.lengths[b] <= shape.rows, "lengths must lie in [0, ",
                        shape.rows, "] (the rows of current), got ", shape.lengths[b]);
  }
};

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) {
  m.impl("lif", &lif<Cpu>);
  m.impl("lif_backward", &lif_backward<Cpu>);
}

}  // namespace spikeseq
