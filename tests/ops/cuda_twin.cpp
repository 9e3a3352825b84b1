// What CUDA threads run, as plain C++: the loops of neuron_loop.h over all neurons, those of feedback_loop.h over all
// sequences, one after another.
#include <vector>

#include "binding.h"
#include "feedback_binding.h"
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

template <typename Pointers, typename S, bool kForward>
struct EverySequence {
  const Shape& shape;
  const Choice& choice;
  const Pointers& pointers;
  template <Reset R>
  void run() const {
    const int64_t bytes = kForward ? forward_scratch<S>(shape.inner) : backward_scratch<S>(shape.inner);
    for (int64_t b = 0; b < shape.batch; ++b) {
      std::vector<S> scratch(bytes / sizeof(S) + 1, S(NAN));  // nothing is there before it is written
      if constexpr (kForward) forward_sequence<R>(Alone(), shape, choice, pointers, b, pointers.weight, scratch.data());
      else backward_sequence<R>(Alone(), shape, choice, pointers, b, pointers.weight, scratch.data());
    }
  }
};

struct FeedbackTwin {
  template <typename S>
  static void forward(const Shape& shape, const Choice& choice, const FeedbackForward<S>& f) {
    with_reset(choice.reset, EverySequence<FeedbackForward<S>, S, true>{shape, choice, f});
  }
  template <typename S>
  static void backward(const Shape& shape, const Choice& choice, const FeedbackBackward<S>& f) {
    with_reset(choice.reset, EverySequence<FeedbackBackward<S>, S, false>{shape, choice, f});
  }
};

}  // namespace
}  // namespace spikeseq

TORCH_LIBRARY_IMPL(spikeseq_twin, CPU, m) {
  m.impl("lif", &spikeseq::lif<spikeseq::Twin>);
  m.impl("lif_backward", &spikeseq::lif_backward<spikeseq::Twin>);
  m.impl("lif_recurrent", &spikeseq::lif_feedback<spikeseq::FeedbackTwin>);
  m.impl("lif_recurrent_backward", &spikeseq::lif_feedback_backward<spikeseq::FeedbackTwin>);
}
