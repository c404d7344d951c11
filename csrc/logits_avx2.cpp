// The logits' kernels for x86-64 with AVX2.
//
// Compiled with -mavx2. It uses no standard library templates, and everything in it has internal linkage, so that no
// AVX2 instruction leaks into code that runs before the CPU was asked.

#include "logits_kernels.h"

#if defined(__AVX2__)

#include <immintrin.h>

#include "logits_lanes.h"

namespace edge_agent {
namespace {

struct Avx2 : Avx2Lanes {
    static float largest(Reg a) {
        const __m128 fours = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        const __m128 twos = _mm_max_ps(fours, _mm_movehl_ps(fours, fours));
        return _mm_cvtss_f32(_mm_max_ss(twos, _mm_movehdup_ps(twos)));
    }
    static Reg times_power(Reg x, Reg by) {
        const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(by), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), power));
    }
    static std::size_t found(Reg a, float x) {
        const int equal = _mm256_movemask_ps(_mm256_cmp_ps(a, _mm256_set1_ps(x), _CMP_EQ_OQ));
        return equal == 0 ? kLanes : static_cast<std::size_t>(__builtin_ctz(static_cast<unsigned>(equal)));
    }
};

}  // namespace

const LogitsKernels* logits_avx2() { return &logits_kernels<Avx2>(); }

}  // namespace edge_agent

#else

namespace edge_agent {
const LogitsKernels* logits_avx2() { return nullptr; }
}  // namespace edge_agent

#endif
