// LIF on a GPU: one thread per neuron, neighbouring threads on neighbouring neurons, so that every row
// is read and written coalesced. Needs no torch header: `nvcc -c lif.cu` checks it anywhere.
// torch's build flags take the conversions of the half types away; the loops here need them.
#undef __CUDA_NO_HALF_CONVERSIONS__
#undef __CUDA_NO_BFLOAT16_CONVERSIONS__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "../neuron_loop.h"
#include "lif.h"

namespace spikeseq {
namespace {

constexpr int kThreads = 128;

template <Reset R, bool kLeakRows, typename In, typename S>
__global__ void forward_kernel(Shape shape, Choice choice, Forward<In, S> f) {
  const int64_t neuron = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (neuron < shape.neurons()) forward_neuron<R, kLeakRows>(shape, choice, f, neuron);
}

template <Reset R, bool kLeakRows, typename In, typename S>
__global__ void backward_kernel(Shape shape, Choice choice, Backward<In, S> b) {
  const int64_t neuron = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (neuron < shape.neurons()) backward_neuron<R, kLeakRows>(shape, choice, b, neuron);
}

unsigned blocks(const Shape& shape) { return unsigned((shape.neurons() + kThreads - 1) / kThreads); }

const char* last_error() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

template <typename In, typename S>
void forward_as(const Shape& shape, const Choice& choice, const void* f, Stream stream) {
  pick(choice.reset, [&](auto reset) {
    constexpr Reset R = decltype(reset)::value;
    const auto kernel = shape.leak_rows ? forward_kernel<R, true, In, S> : forward_kernel<R, false, In, S>;
    kernel<<<blocks(shape), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        shape, choice, *static_cast<const Forward<In, S>*>(f));
  });
}

template <typename In, typename S>
void backward_as(const Shape& shape, const Choice& choice, const void* b, Stream stream) {
  pick(choice.reset, [&](auto reset) {
    constexpr Reset R = decltype(reset)::value;
    const auto kernel = shape.leak_rows ? backward_kernel<R, true, In, S> : backward_kernel<R, false, In, S>;
    kernel<<<blocks(shape), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        shape, choice, *static_cast<const Backward<In, S>*>(b));
  });
}

}  // namespace

const char* launch_forward(Kind kind, const Shape& shape, const Choice& choice, const void* f, Stream stream) {
  switch (kind) {
    case Kind::float32: forward_as<float, float>(shape, choice, f, stream); break;
    case Kind::float64: forward_as<double, double>(shape, choice, f, stream); break;
    case Kind::bfloat16: forward_as<__nv_bfloat16, float>(shape, choice, f, stream); break;
    case Kind::float16: forward_as<__half, float>(shape, choice, f, stream); break;
  }
  return last_error();
}

const char* launch_backward(Kind kind, const Shape& shape, const Choice& choice, const void* b, Stream stream) {
  switch (kind) {
    case Kind::float32: backward_as<float, float>(shape, choice, b, stream); break;
    case Kind::float64: backward_as<double, double>(shape, choice, b, stream); break;
    case Kind::bfloat16: backward_as<__nv_bfloat16, float>(shape, choice, b, stream); break;
    case Kind::float16: backward_as<__half, float>(shape, choice, b, stream); break;
  }
  return last_error();
}

}  // namespace spikeseq
