// What CUDA threads run, as plain C++: the loops of neuron_loop.h over all neurons, those of feedback_loop.h over all
// sequences, one after another.
#include <vector>

#include "binding.h"
#include "feedback_binding.h"
#include "neuron_loop.h"

namespace spikeseq {
namespace {

struct Twin {
  static at::Tensor empty(at::IntArrayRef sizes, const at::TensorOptions& options) { return at::empty(sizes, options); }
  template <typename In, typename S>
  static void forward(const Shape& shape, const Choice& choice, const Forward<In, S>& f) {
    pick(choice.reset, [&](auto reset) {
      constexpr Reset R = decltype(reset)::value;
      for (int64_t i = 0; i < shape.neurons(); ++i)
        shape.leak_rows ? forward_neuron<R, true>(shape, choice, f, i) : forward_neuron<R, false>(shape, choice, f, i);
    });
  }
  template <typename In, typename S>
  static void backward(const Shape& shape, const Choice& choice, const Backward<In, S>& b) {
    pick(choice.reset, [&](auto reset) {
      constexpr Reset R = decltype(reset)::value;
      for (int64_t i = 0; i < shape.neurons(); ++i)
        shape.leak_rows ? backward_neuron<R, true>(shape, choice, b, i) : backward_neuron<R, false>(shape, choice, b, i);
    });
  }
  static at::Tensor sum_channels(const Shape& shape, const at::Tensor& per_neuron) {
    return per_neuron.view({shape.batch, shape.channels, shape.inner / shape.channels}).sum({0, 2});
  }
  static void check(const Shape&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&) {}
};

// Scratch of one sequence; nothing is there before it is written.
template <typename S>
std::vector<S> scratch(int64_t bytes) { return std::vector<S>(bytes / sizeof(S) + 1, S(NAN)); }

struct FeedbackTwin {
  template <typename S>
  static void forward(const Shape& shape, const Choice& choice, const FeedbackForward<S>& f) {
    pick(choice.reset, [&](auto reset) {
      for (int64_t b = 0; b < shape.batch; ++b)
        forward_sequence<decltype(reset)::value>(Alone(), shape, choice, f, b, f.weight,
                                                 scratch<S>(forward_scratch<S>(shape.inner)).data());
    });
  }
  template <typename S>
  static void backward(const Shape& shape, const Choice& choice, const FeedbackBackward<S>& f) {
    pick(choice.reset, [&](auto reset) {
      for (int64_t b = 0; b < shape.batch; ++b)
        backward_sequence<decltype(reset)::value>(Alone(), shape, choice, f, b, f.weight,
                                                  scratch<S>(backward_scratch<S>(shape.inner)).data());
    });
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
