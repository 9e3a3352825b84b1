// Registers the CUDA kernels of lif.cu and feedback.cu with the dispatcher. Nothing here waits for the device.
#include <c10/cuda/CUDAStream.h>  // not ATen/cuda/CUDAContext.h, which wants the headers of cuBLAS and others

#include "../binding.h"
#include "../feedback_binding.h"
#include "feedback.h"
#include "lif.h"

namespace spikeseq {
namespace {

template <typename In>
Kind kind_of() {
  if constexpr (std::is_same_v<In, float>) return Kind::float32;
  if constexpr (std::is_same_v<In, double>) return Kind::float64;
  if constexpr (std::is_same_v<In, at::BFloat16>) return Kind::bfloat16;
  return Kind::float16;
}

Stream current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

void raise_on(const char* error) { TORCH_CHECK(error == nullptr, "spikeseq CUDA kernel: ", error); }

struct Cuda {
  static at::Tensor empty(at::IntArrayRef sizes, const at::TensorOptions& options) { return at::empty(sizes, options); }

  template <typename In, typename S>
  static void forward(const Shape& shape, const Choice& choice, const Forward<In, S>& f) {
    raise_on(launch_forward(kind_of<In>(), shape, choice, &f, current_stream()));
  }

  template <typename In, typename S>
  static void backward(const Shape& shape, const Choice& choice, const Backward<In, S>& b) {
    raise_on(launch_backward(kind_of<In>(), shape, choice, &b, current_stream()));
  }

  static at::Tensor sum_channels(const Shape& shape, const at::Tensor& per_neuron) {
    const int64_t summed[] = {0, 2};
    return per_neuron.view({shape.batch, shape.channels, shape.inner / shape.channels}).sum(at::IntArrayRef(summed));
  }

  static void check(const Shape&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&) {}
};

struct CudaFeedback {
  template <typename S>
  static void forward(const Shape& shape, const Choice& choice, const FeedbackForward<S>& f) {
    raise_on(launch_feedback_forward(kind_of<S>(), shape, choice, &f, current_stream()));
  }

  template <typename S>
  static void backward(const Shape& shape, const Choice& choice, const FeedbackBackward<S>& f) {
    raise_on(launch_feedback_backward(kind_of<S>(), shape, choice, &f, current_stream()));
  }
};

}  // namespace
}  // namespace spikeseq

TORCH_LIBRARY_IMPL(spikeseq, CUDA, m) {
  m.impl("lif", &spikeseq::lif<spikeseq::Cuda>);
  m.impl("lif_backward", &spikeseq::lif_backward<spikeseq::Cuda>);
  m.impl("lif_recurrent", &spikeseq::lif_feedback<spikeseq::CudaFeedback>);
  m.impl("lif_recurrent_backward", &spikeseq::lif_feedback_backward<spikeseq::CudaFeedback>);
}
