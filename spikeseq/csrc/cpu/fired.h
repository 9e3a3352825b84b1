// The neurons whose membrane is above the threshold, as a list.
#pragma once

#include "../neuron.h"
#include "events.h"

namespace spikeseq {

// `neurons` has room for n and a group more. Returns how many there are.
template <typename S>
int64_t fired(int64_t n, const S* u, const S* threshold, int32_t* neurons) {
  typedef S Values __attribute__((vector_size(kGroup * sizeof(S))));
  int64_t size = 0, j = 0;
  for (; j + kGroup <= n; j += kGroup) {
    Values membrane, v;
    std::memcpy(&membrane, u + j, sizeof membrane);
    std::memcpy(&v, threshold + j, sizeof v);
    size = append_fired(__builtin_convertvector(membrane > v, Counts), j, neurons, size);
  }
  for (; j < n; ++j)
    if (fires(u[j], threshold[j])) neurons[size++] = static_cast<int32_t>(j);
  return size;
}

}  // namespace spikeseq
