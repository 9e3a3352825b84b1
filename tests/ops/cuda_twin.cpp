// What a CUDA thread runs, as plain C++: the loops of neuron_loop.h over all neurons, one after another.
#include "binding.h"
#include "neuron_loop.h"

namespace spikeseq {
namespace {

template <typename Pointers, bool kForward>
struct EveryNeuron {
  const Shape& shape;
  const Choice& choice;
  const Pointers& pointers;
  template <Reset R>
  void run() const {
    for (int64_t neuron = 0; neuron < shape.neurons(); ++neuron) {
      if constexpr (kForward) forward_neuron<R>(shape, choice, pointers, neuron);
      else backward_neuron<R>(shape, choice, pointers, neuron);
    }
  }
};

struct Twin {
  static at::Tensor empty(at::IntArrayRef sizes, const at::TensorOptions& options) { return at::empty(sizes, options); }
  template <typename In, typename S>
  static void forward(const Shape& shape, const Choice& choice, const Forward<In, S>& f) {
    with_reset(choice.reset, EveryNeuron<Forward<In, S>, true>{shape, choice, f});
  }
  template <typename In, typename S>
  static void backward(const Shape& shape, const Choice& choice, const Backward<In, S>& b) {
    with_reset(choice.reset, EveryNeuron<Backward<In, S>, false>{shape, choice, b});
  }
  static at::Tensor sum_channels(const Shape& shape, const at::Tensor& per_neuron) {
    return per_neuron.view({shape.batch, shape.channels, shape.inner / shape.channels}).sum({0, 2});
  }
  static void check(const Shape&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&) {}
};

}  // namespace
}  // namespace spikeseq

TORCH_LIBRARY_IMPL(spikeseq_twin, CPU, m) {
  m.impl("lif", &spikeseq::lif<spikeseq::Twin>);
  m.impl("lif_backward", &spikeseq::lif_backward<spikeseq::Twin>);
}
