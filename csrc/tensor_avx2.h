// What the files of the AVX2 tensor kernels share.
#pragma once

#include "tensor_kernels.h"

#if defined(__AVX2__)

#include <immintrin.h>

namespace edge_agent {

void quantise8_avx2(const float* row, std::size_t width, float scale, std::int8_t* out);
void quantise4_avx2(const float* row, std::size_t width, float scale, std::uint8_t* out);

static inline void store(void* at, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(at), x); }

}  // namespace edge_agent

#endif
