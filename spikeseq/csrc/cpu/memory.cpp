#include "memory.h"

#include <ATen/EmptyTensor.h>
#include <ATen/Functions.h>
#include <c10/core/Allocator.h>
#include <c10/util/accumulate.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <list>
#include <mutex>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace spikeseq {
namespace {

constexpr size_t kLarge = size_t(256) << 10;  // bytes; the C library keeps smaller ones by itself
constexpr size_t kSmall = 4096, kHuge = size_t(2) << 20;  // pages
constexpr size_t kDefaultLimit = size_t(512) << 20;

struct Buffer {
  void* data;
  size_t capacity;
};

// Buffers that nobody uses, the latest first, up to a limit. Whoever can't have the lock at once (another thread is at
// it, or was when the process was forked) goes without, so nobody ever waits.
class Keeper final : public c10::Allocator {
 public:
  static Keeper& get() {
    static Keeper* keeper = new Keeper;  // never destroyed: tensors may outlive static objects
    return *keeper;
  }

  c10::DataPtr allocate(size_t bytes) override {
    auto* buffer = new Buffer(take(bytes));
    used_bytes_ += buffer->capacity;
    return {buffer->data, buffer, &let_go, at::Device(at::kCPU)};
  }

  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }

  int64_t used() const { return static_cast<int64_t>(used_bytes_.load()); }

  int64_t release() {
    std::list<Buffer> all;
    size_t bytes = 0;
    if (const std::unique_lock lock(mutex_, std::try_to_lock); lock.owns_lock()) {
      all.swap(idle_);
      std::swap(bytes, idle_bytes_);
    }
    for (const Buffer& buffer : all) std::free(buffer.data);
    return static_cast<int64_t>(bytes);
  }

 private:
  Keeper() : limit_(kDefaultLimit) {
    const char* megabytes = std::getenv("SPIKESEQ_KEEP_MB");
    if (!megabytes || !*megabytes) return;
    char* end = nullptr;
    const long long value = std::strtoll(megabytes, &end, 10);
    TORCH_CHECK_VALUE(!*end && value >= 0 && value < (1ll << 40), "SPIKESEQ_KEEP_MB must be a number of MiB, got ", megabytes);
    limit_ = static_cast<size_t>(value) << 20;
  }

  static void let_go(void* context) {
    auto* buffer = static_cast<Buffer*>(context);
    get().used_bytes_ -= buffer->capacity;
    get().give_back(*buffer);
    delete buffer;
  }

  // The smallest idle buffer that is large enough and not more than twice as large; else a new one.
  Buffer take(size_t bytes) {
    if (const std::unique_lock lock(mutex_, std::try_to_lock); lock.owns_lock()) {
      auto best = idle_.end();
      for (auto it = idle_.begin(); it != idle_.end(); ++it)
        if (it->capacity >= bytes && it->capacity <= 2 * bytes && (best == idle_.end() || it->capacity < best->capacity))
          best = it;
      if (best != idle_.end()) {
        const Buffer found = *best;
        idle_bytes_ -= found.capacity;
        idle_.erase(best);
        return found;
      }
    }
    const size_t page = bytes < kHuge ? kSmall : kHuge, capacity = (bytes + kSmall - 1) / kSmall * kSmall;
    void* data = nullptr;
    if (posix_memalign(&data, page, capacity) != 0) {
      release();  // what is idle may be what is missing
      TORCH_CHECK(posix_memalign(&data, page, capacity) == 0, "out of memory: ", bytes, " bytes for a result");
    }
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (page == kHuge) madvise(data, capacity, MADV_HUGEPAGE);  // advice only
#endif
    return {data, capacity};
  }

  void give_back(const Buffer& buffer) {
    std::list<Buffer> surplus{buffer};
    if (std::unique_lock lock(mutex_, std::try_to_lock); lock.owns_lock()) {
      idle_.splice(idle_.begin(), surplus);
      idle_bytes_ += buffer.capacity;
      while (idle_bytes_ > limit_) {  // the one idle for longest goes first
        idle_bytes_ -= idle_.back().capacity;
        surplus.splice(surplus.end(), idle_, std::prev(idle_.end()));
      }
    }
    for (const Buffer& one : surplus) std::free(one.data);
  }

  std::mutex mutex_;
  std::list<Buffer> idle_;
  size_t idle_bytes_ = 0, limit_;
  std::atomic<size_t> used_bytes_{0};
};

}  // namespace

at::Tensor empty_kept(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const size_t bytes = c10::multiply_integers(sizes) * options.dtype().itemsize();
  if (bytes < kLarge || !options.device().is_cpu()) return at::empty(sizes, options);
  return at::detail::empty_generic(sizes, &Keeper::get(), c10::DispatchKeySet(c10::DispatchKey::CPU),
                                   c10::typeMetaToScalarType(options.dtype()), std::nullopt);
}

int64_t release_memory() { return Keeper::get().release(); }

TORCH_LIBRARY_FRAGMENT(spikeseq, m) {
  m.def("release_memory() -> int", &release_memory);
  m.def("memory_in_use() -> int", [] { return Keeper::get().used(); });
}

}  // namespace spikeseq
