// LIF with feedback on a GPU: one block per sequence, a thread per neuron or more. The weights are on the chip where
// they fit, else all blocks read them through the cache. Needs no torch header: `nvcc -c feedback.cu` checks it anywhere.
#include <cuda_runtime.h>

#include "feedback.h"

namespace spikeseq {
namespace {

constexpr int kMostThreads = 512;
// Blocks on a multiprocessor: two of float leave 64 registers a thread; double would spill some of them.
template <typename S>
constexpr int kBlocks = sizeof(S) == 4 ? 2 : 1;

struct Block {
  template <typename F>
  __device__ void each(int64_t n, const F& f) const {
    for (int64_t j = threadIdx.x; j < n; j += blockDim.x) f(j);
  }
  // Whole warps take part: blockDim is a multiple of 32.
  template <typename F>
  __device__ void vote(int64_t n, uint32_t* words, const F& f) const {
    for (int64_t start = 0; start < n; start += blockDim.x) {
      const int64_t j = start + threadIdx.x;
      const uint32_t bits = __ballot_sync(0xffffffffu, j < n && f(j));
      if (j < n && threadIdx.x % 32 == 0) words[j / 32] = bits;
    }
  }
  __device__ void sync() const { __syncthreads(); }
};

// Memory of the block: the weights, if they are kept there, and the scratch of the loops.
template <bool kOnChip, typename S>
__device__ const S* weights(const Block& team, int64_t n, const S* weight, S* memory) {
  if constexpr (!kOnChip) return weight;
  team.each(n * n, [&](int64_t i) { memory[i] = weight[i]; });
  team.sync();
  return memory;
}

template <Reset R, bool kOnChip, typename S>
__global__ void __launch_bounds__(kMostThreads, kBlocks<S>)
    feedback_forward(Shape shape, Choice choice, FeedbackForward<S> f) {
  extern __shared__ __align__(16) unsigned char memory[];
  S* own = reinterpret_cast<S*>(memory);
  const Block team;
  const S* weight = weights<kOnChip>(team, shape.inner, f.weight, own);
  forward_sequence<R>(team, shape, choice, f, blockIdx.x, weight, own + (kOnChip ? shape.inner * shape.inner : 0));
}

template <Reset R, bool kOnChip, typename S>
__global__ void __launch_bounds__(kMostThreads, kBlocks<S>)
    feedback_backward(Shape shape, Choice choice, FeedbackBackward<S> f) {
  extern __shared__ __align__(16) unsigned char memory[];
  S* own = reinterpret_cast<S*>(memory);
  const Block team;
  const S* weight = weights<kOnChip>(team, shape.inner, f.weight, own);
  backward_sequence<R>(team, shape, choice, f, blockIdx.x, weight, own + (kOnChip ? shape.inner * shape.inner : 0));
}

// Bytes that a block may have on this device.
cudaError_t most_memory(int64_t& bytes) {
  int device = 0, most = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  bytes = most;
  return error;
}

template <typename Pointers, typename S>
cudaError_t launch(void (*on_chip)(Shape, Choice, Pointers), void (*through_cache)(Shape, Choice, Pointers),
                   const Shape& shape, const Choice& choice, const Pointers& pointers, int64_t scratch,
                   cudaStream_t stream) {
  int64_t most = 0;
  cudaError_t error = most_memory(most);
  if (error != cudaSuccess) return error;
  const int64_t weights = shape.inner * shape.inner * int64_t(sizeof(S));
  const bool fits = weights + scratch <= most;
  const int64_t bytes = fits ? weights + scratch : scratch;
  const auto kernel = fits ? on_chip : through_cache;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes));
  if (error != cudaSuccess) return error;
  const int64_t threads = (shape.inner + 31) / 32 * 32;
  kernel<<<unsigned(shape.batch), unsigned(threads < kMostThreads ? threads : kMostThreads), size_t(bytes), stream>>>(
      shape, choice, pointers);
  return cudaGetLastError();
}

template <typename S>
cudaError_t forward_as(const Shape& shape, const Choice& choice, const void* f, Stream stream) {
  return pick(choice.reset, [&](auto reset) {
    constexpr Reset R = decltype(reset)::value;
    return launch<FeedbackForward<S>, S>(feedback_forward<R, true, S>, feedback_forward<R, false, S>, shape, choice,
                                         *static_cast<const FeedbackForward<S>*>(f), forward_scratch<S>(shape.inner),
                                         static_cast<cudaStream_t>(stream));
  });
}

template <typename S>
cudaError_t backward_as(const Shape& shape, const Choice& choice, const void* f, Stream stream) {
  return pick(choice.reset, [&](auto reset) {
    constexpr Reset R = decltype(reset)::value;
    return launch<FeedbackBackward<S>, S>(feedback_backward<R, true, S>, feedback_backward<R, false, S>, shape, choice,
                                          *static_cast<const FeedbackBackward<S>*>(f),
                                          backward_scratch<S>(shape.inner), static_cast<cudaStream_t>(stream));
  });
}

const char* message(cudaError_t error) { return error == cudaSuccess ? nullptr : cudaGetErrorString(error); }

}  // namespace

const char* launch_feedback_forward(Kind kind, const Shape& shape, const Choice& choice, const void* f,
                                    Stream stream) {
  return message(kind == Kind::float32 ? forward_as<float>(shape, choice, f, stream)
                                       : forward_as<double>(shape, choice, f, stream));
}

const char* launch_feedback_backward(Kind kind, const Shape& shape, const Choice& choice, const void* f,
                                     Stream stream) {
  return message(kind == Kind::float32 ? backward_as<float>(shape, choice, f, stream)
                                       : backward_as<double>(shape, choice, f, stream));
}

}  // namespace spikeseq
