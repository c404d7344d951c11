// The sound kernels for x86-64 with AVX2: 8 STFT frames at a time.
//
// Compiled with -mavx2. It uses no standard library templates, and everything in it has internal linkage, so that no
// AVX2 instruction leaks into code that runs before the CPU was asked.

#include "sound_kernels.h"

#if defined(__AVX2__)

#include <immintrin.h>

#include "fft.h"

namespace edge_agent {
namespace {

// A vector of eight lanes.
struct Eight {
    using Reg = __m256;
    static constexpr std::size_t lanes = 8;
    static Reg load(const float* at) { return _mm256_loadu_ps(at); }
    static void store(float* at, Reg x) { _mm256_storeu_ps(at, x); }
    static Reg broadcast(const float* at) { return _mm256_broadcast_ss(at); }
    static Reg set(float x) { return _mm256_set1_ps(x); }
    static Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
    static Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
    static Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
    static Reg div(Reg a, Reg b) { return _mm256_div_ps(a, b); }
    static Reg max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
    static Reg sqrt(Reg a) { return _mm256_sqrt_ps(a); }

    static Reg below_zero(Reg a) { return _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_LT_OQ); }
    static Reg sign_change(Reg a, Reg b) {
        return _mm256_and_ps(_mm256_xor_ps(below_zero(a), below_zero(b)), _mm256_set1_ps(1.0F));
    }

    static Reg shift_in(Reg x, const float* first) {
        const Reg turned = _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6));
        return _mm256_blend_ps(turned, _mm256_broadcast_ss(first), 1);
    }

    // out[i] lane l = rows[l][i], for 8 x 8 values.
    static void load_transposed(const float* const* rows, Reg* out) {
        Reg pair[8];
        for (int i = 0; i < 4; ++i) {  // rows 2i and 2i + 1, interleaved
            const Reg even = _mm256_loadu_ps(rows[2 * i]);
            const Reg odd = _mm256_loadu_ps(rows[2 * i + 1]);
            pair[2 * i] = _mm256_unpacklo_ps(even, odd);
            pair[2 * i + 1] = _mm256_unpackhi_ps(even, odd);
        }
        Reg quad[8];
        for (int i = 0; i < 2; ++i) {  // rows 4i to 4i + 3; columns j and j + 4 in the two halves
            for (int j = 0; j < 2; ++j) {
                quad[4 * i + 2 * j] = _mm256_shuffle_ps(pair[4 * i + j], pair[4 * i + 2 + j], _MM_SHUFFLE(1, 0, 1, 0));
                quad[4 * i + 2 * j + 1] =
                    _mm256_shuffle_ps(pair[4 * i + j], pair[4 * i + 2 + j], _MM_SHUFFLE(3, 2, 3, 2));
            }
        }
        for (int j = 0; j < 4; ++j) {
            out[j] = _mm256_permute2f128_ps(quad[j], quad[4 + j], 0x20);
            out[4 + j] = _mm256_permute2f128_ps(quad[j], quad[4 + j], 0x31);
        }
    }

    // As One::log_parts.
    static void log_parts(Reg x, Reg* mantissa, Reg* exponent) {
        const __m256i half_root = _mm256_set1_epi32(0x3f3504f3);
        const __m256i bits = _mm256_sub_epi32(_mm256_castps_si256(x), half_root);
        *exponent = _mm256_cvtepi32_ps(_mm256_srai_epi32(bits, 23));
        const __m256i fraction = _mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff));
        *mantissa = _mm256_castsi256_ps(_mm256_add_epi32(fraction, half_root));
    }
};

constexpr SoundKernels kKernels{Eight::lanes, sound_frames_lanes<Eight>};

}  // namespace

const SoundKernels* sound_avx2() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const SoundKernels* sound_avx2() { return nullptr; }
}  // namespace edge_agent

#endif
