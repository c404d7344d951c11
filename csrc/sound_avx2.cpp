// The sound kernels for x86-64 with AVX2.
//
// Compiled with -mavx2. It uses no standard library templates, and everything in it has internal linkage, so that no
// AVX2 instruction leaks into code that runs before the CPU was asked.

#include "sound_kernels.h"

#if defined(__AVX2__)

#include <immintrin.h>

#include "sound_lanes.h"

namespace edge_agent {
namespace {

struct Avx2 : Avx2Lanes {
    static void store(float* at, Reg x) { _mm256_storeu_ps(at, x); }
    static Reg broadcast(const float* at) { return _mm256_broadcast_ss(at); }
    static Reg sqrt(Reg a) { return _mm256_sqrt_ps(a); }

    // As Plain's, but the lanes hold the columns 0 1 4 5 2 3 6 7, which saves crossing the halves.
    static Reg evens(Reg a, Reg b) { return _mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)); }
    static Reg odds(Reg a, Reg b) { return _mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)); }
    static void columns(const float* rows, Reg* out) {
        four_columns(rows, out[0], out[1], out[4], out[5]);
        four_columns(rows + 4, out[2], out[3], out[6], out[7]);
    }
    static void four_columns(const float* rows, Reg& a, Reg& b, Reg& c, Reg& d) {
        const Reg r0 = two_rows(rows);
        const Reg r1 = two_rows(rows + 2 * kLanes);
        const Reg r2 = two_rows(rows + 4 * kLanes);
        const Reg r3 = two_rows(rows + 6 * kLanes);
        const Reg low01 = _mm256_unpacklo_ps(r0, r1);
        const Reg high01 = _mm256_unpackhi_ps(r0, r1);
        const Reg low23 = _mm256_unpacklo_ps(r2, r3);
        const Reg high23 = _mm256_unpackhi_ps(r2, r3);
        a = _mm256_shuffle_ps(low01, low23, _MM_SHUFFLE(1, 0, 1, 0));
        b = _mm256_shuffle_ps(low01, low23, _MM_SHUFFLE(3, 2, 3, 2));
        c = _mm256_shuffle_ps(high01, high23, _MM_SHUFFLE(1, 0, 1, 0));
        d = _mm256_shuffle_ps(high01, high23, _MM_SHUFFLE(3, 2, 3, 2));
    }
    // Four floats of a row, and the same of the fourth row after it.
    static Reg two_rows(const float* at) {
        return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(at)), _mm_loadu_ps(at + 8 * kLanes), 1);
    }

    static Reg reversed(Reg a) { return _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0)); }
    static Reg first(Reg a) { return _mm256_blend_ps(a, _mm256_setzero_ps(), 0xfe); }

    static void log_parts(Reg x, Reg* mantissa, Reg* exponent) {
        const __m256i two_thirds = _mm256_set1_epi32(0x3f2aaaab);
        const __m256i bits = _mm256_sub_epi32(_mm256_castps_si256(x), two_thirds);
        *exponent = _mm256_cvtepi32_ps(_mm256_srai_epi32(bits, 23));
        const __m256i fraction = _mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff));
        *mantissa = _mm256_castsi256_ps(_mm256_add_epi32(fraction, two_thirds));
    }

    static Reg from_int16(const std::int16_t* at) {
        return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
    }

    // A bit for each of 32 samples: 1 below zero, of which there is no -0.0.
    static std::uint32_t signs(const float* at) {
        const __m256i first = _mm256_packs_epi32(bits_at(at), bits_at(at + kLanes));
        const __m256i second = _mm256_packs_epi32(bits_at(at + 2 * kLanes), bits_at(at + 3 * kLanes));
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packing keeps to its half of a register
        const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order);
        return static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes));
    }
    static std::int32_t crossings(const float* samples, std::size_t window) {
        std::int32_t count = 0;
        std::uint32_t before = samples[0] < 0.0F ? 1 : 0;
        for (std::size_t n = 0; n < window; n += 4 * kLanes) {
            const std::uint32_t now = signs(samples + n);
            count += __builtin_popcount(now ^ (now << 1 | before));
            before = now >> 31;
        }
        return count;
    }

    static __m256i bits_at(const float* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
    // Without its sign, a float has the order of its bits; NaN comes last.
    using Largest = __m256i;
    static Largest nothing() { return _mm256_setzero_si256(); }
    static Largest larger(Largest largest, const float* at) {
        return _mm256_max_epi32(largest, _mm256_and_si256(bits_at(at), _mm256_set1_epi32(0x7fffffff)));
    }
    static bool above(Largest largest, float limit) {
        const __m256i larger = _mm256_cmpgt_epi32(largest, _mm256_castps_si256(_mm256_set1_ps(limit)));
        return _mm256_movemask_epi8(larger) != 0;
    }
};

}  // namespace

const SoundKernels* sound_avx2() { return &sound_kernels<Avx2>; }

}  // namespace edge_agent

#else

namespace edge_agent {
const SoundKernels* sound_avx2() { return nullptr; }
}  // namespace edge_agent

#endif
