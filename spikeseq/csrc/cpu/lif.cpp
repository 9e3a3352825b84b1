// LIF on the CPU. Neurons are cut into blocks (block.h); inside a block, a row of neurons is taken through several sub-steps
// at once by the loops of spans.h. Blocks are independent, so neither their size nor the number of threads changes a result.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "../binding.h"
#include "backward_block.h"
#include "forward_block.h"
#include "memory.h"

namespace spikeseq {
namespace {

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
    const Spans<S> spans(choice);
    for_each_block(shape, [&](int64_t begin, int64_t end) {
      ForwardBlock<In, S>(shape, choice, rows, spans, f, begin, end).run();
    });
  }

  template <typename In, typename S>
  static void backward(const Shape& shape, const Choice& choice, const Backward<In, S>& b) {
    const Rows<S> rows(choice);
    const Spans<S> spans(choice);
    for_each_block(shape, [&](int64_t begin, int64_t end) {
      BackwardBlock<In, S>(shape, choice, rows, spans, b, begin, end).run();
    });
  }

  static at::Tensor sum_channels(const Shape& shape, const at::Tensor& per_neuron) {
    at::Tensor sums = at::empty({shape.channels}, per_neuron.options());
    AT_DISPATCH_FLOATING_TYPES(per_neuron.scalar_type(), "sum_channels", [&] {
      spikeseq::sum_channels(shape, per_neuron.const_data_ptr<scalar_t>(), sums.data_ptr<scalar_t>());
    });
    return sums;
  }

  // The values of CPU tensors are checked here, leaks with rows in the loop; a GPU's are not read back (see spikeseq.debug).
  static void check(const Shape& shape, const at::Tensor& leak, const at::Tensor& threshold,
                    const std::optional<at::Tensor>& lengths) {
    AT_DISPATCH_FLOATING_TYPES(leak.scalar_type(), "check", [&] {
      const scalar_t* l = leak.const_data_ptr<scalar_t>();
      const scalar_t* v = threshold.const_data_ptr<scalar_t>();
      for (int64_t c = 0; c < shape.channels; ++c) {
        if (!shape.leak_rows) TORCH_CHECK_VALUE(l[c] >= 0 && l[c] <= 1, "leak must lie in [0, 1], got ", l[c]);
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
