// What is chosen by name at run time: the reset, the surrogate, the readout. Each is a list of
// X(kind, name, class), written once; everything that has to know all of them is made from the list here.
#pragma once

#include <type_traits>

#ifdef __CUDACC__
#define SPIKESEQ_HD __host__ __device__ __forceinline__
#define SPIKESEQ_EITHER_SIDE _Pragma("nv_exec_check_disable")  // what is called may be for one side only
#else
#define SPIKESEQ_EITHER_SIDE
#define SPIKESEQ_HD inline __attribute__((always_inline))
#endif

namespace spikeseq {

template <typename Kind>
struct Names;  // Names<Kind>::all: the names, in the order of the enumeration

template <typename Kind, Kind K>
struct ClassOf;  // ClassOf<Kind, K>::type: the class that holds the equations of K

// The enumeration of a list's names.
#define SPIKESEQ_ENUMERATOR(Kind, name, Class) name,
#define SPIKESEQ_ENUMERATION(Kind, LIST) enum class Kind : int { LIST(SPIKESEQ_ENUMERATOR) };

// The names; and pick(kind, work), which calls work(k) with K = decltype(k)::value, a constant.
#define SPIKESEQ_NAME(Kind, name, Class) #name,
#define SPIKESEQ_CASE(Kind, name, Class) \
  case Kind::name: return work(std::integral_constant<Kind, Kind::name>());
#define SPIKESEQ_CHOICE(Kind, LIST)                     \
  template <>                                           \
  struct Names<Kind> {                                  \
    static constexpr const char* all[] = {LIST(SPIKESEQ_NAME)}; \
  };                                                    \
  SPIKESEQ_EITHER_SIDE                                  \
  template <typename Work>                              \
  SPIKESEQ_HD auto pick(Kind kind, const Work& work) {  \
    switch (kind) { LIST(SPIKESEQ_CASE) }               \
    __builtin_unreachable();                            \
  }

// The classes, which must be complete.
#define SPIKESEQ_CLASS(Kind, name, Class) \
  template <>                             \
  struct ClassOf<Kind, Kind::name> {      \
    using type = Class;                   \
  };

}  // namespace spikeseq
