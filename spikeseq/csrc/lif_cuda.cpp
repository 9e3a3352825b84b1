// Registers the CUDA kernels of lif.cu with the dispatcher. Nothing here waits for the device.
#include <ATen/cuda/CUDAContext.h>

#include "binding.h"
#include "lif_cuda.h"

namespace spikeseq {
namespace {

template <typename In>
Kind kind_of() {
  if constexpr (std::is_same_v<In, float>) return Kind::float32;
  if constexpr (std::is_same_v<In, double>) return Kind::float64;
  if constexpr (std::is_same_v<In, at::BFloat16>) return Kind::bfloat16;
  return Kind::float16;
}

void raise_on(const char* error) { TORCH_CHECK(error == nullptr, "spikeseq CUDA kernel: ", error); }

struct Cuda {
  static at::Tensor empty(at::IntArrayRef sizes, const at::TensorOptions& options) { return at::empty(sizes, options); }

  template <typename In, typename S>
  static void forward(const Shape& shape, const Choice& choice, const Forward<In, S>& f) {
    raise_on(launch_forward(kind_of<In>(), shape, choice, &f, at::cuda::getCurrentCUDAStream().stream()));
  }

  template <typename In, typename S>
  static void backward(const Shape& shape, const Choice& choice, const Backward<In, S>& b) {
    raise_on(launch_backward(kind_of<In>(), shape, choice, &b, at::cuda::getCurrentCUDAStream().stream()));
  }

  static at::Tensor sum_channels(const Shape& shape, const at::Tensor& per_neuron) {
    return per_neuron.view({shape.batch, shape.channels, shape.inner / shape.channels}).sum({0, 2});
  }

  static void check(const Shape&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&) {}
};

}  // namespace
}  // namespace spikeseq

TORCH_LIBRARY_IMPL(spikeseq, CUDA, m) {
  m.impl("lif", &spikeseq::lif<spikeseq::Cuda>);
  m.impl("lif_backward", &spikeseq::lif_backward<spikeseq::Cuda>);
}
