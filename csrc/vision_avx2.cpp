// The picture kernels for x86-64 with AVX2: here whole rows, 32 pixels at a time; vision_avx2_band.cpp has the rest.
//
// Compiled with -mavx2. The AVX2 files use no standard library templates, and what they share with nobody has internal
// linkage, so that no AVX2 instruction leaks into code that runs before the CPU was asked.

#include "vision_avx2.h"

#if defined(__AVX2__)

#include <immintrin.h>

#include "vision_rows.h"

namespace edge_agent {
namespace {

// Two times 16 bytes in the two halves, shuffled to 4 BGR pixels each, as (29 B + 99 G, 51 G + 77 R) words; 150 does
// not fit a signed byte.
__m256i weighted_pairs(const std::uint8_t* low, const std::uint8_t* high, __m256i shuffle) {
    const __m256i weights = _mm256_set1_epi32(29 | 99 << 8 | 51 << 16 | 77 << 24);
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(low));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(high));
    const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    return _mm256_maddubs_epi16(_mm256_shuffle_epi8(both, shuffle), weights);
}

// 32 pixels of 96 bytes.
__m256i grey_of_32(const std::uint8_t* low) {
    const __m256i pairs = _mm256_setr_epi8(0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11,  //
                                           0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11);
    const __m256i last_pairs = _mm256_add_epi8(pairs, _mm256_set1_epi8(4));  // the last load must end with the pixels
    const __m256i rounding = _mm256_set1_epi16(128);
    const std::uint8_t* const high = low + 48;
    __m256i a = _mm256_hadd_epi16(weighted_pairs(low, high, pairs), weighted_pairs(low + 12, high + 12, pairs));
    __m256i b =
        _mm256_hadd_epi16(weighted_pairs(low + 24, high + 24, pairs), weighted_pairs(low + 32, high + 32, last_pairs));
    a = _mm256_srli_epi16(_mm256_add_epi16(a, rounding), 8);
    b = _mm256_srli_epi16(_mm256_add_epi16(b, rounding), 8);
    return _mm256_packus_epi16(a, b);
}

struct Avx2 {
    using Bytes = __m256i;
    using Sums = __m256i;
    static constexpr std::size_t kBytes = 32;

    static Bytes load(const std::uint8_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
    static void store(std::uint8_t* at, Bytes x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), x); }
    static Bytes splat(std::uint8_t level) { return _mm256_set1_epi8(static_cast<char>(level)); }
    static Bytes zero() { return _mm256_setzero_si256(); }
    static Bytes grey(const std::uint8_t* bgr) { return grey_of_32(bgr); }
    static Sums no_sums() { return _mm256_setzero_si256(); }

    static void differ(Bytes a, Bytes b, Bytes limit, Sums* sums, Bytes* unchanged) {
        const __m256i difference = _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a));
        const __m256i within = _mm256_cmpeq_epi8(_mm256_min_epu8(difference, limit), difference);
        *unchanged = _mm256_sub_epi8(*unchanged, within);
        *sums = _mm256_add_epi32(*sums, _mm256_sad_epu8(a, b));
    }

    static void add_to(std::uint32_t* absolute, Sums sums) {
        __m256i* const at = reinterpret_cast<__m256i*>(absolute);
        _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), sums));
    }

    static std::uint64_t sum_of(Bytes bytes) {
        alignas(32) std::uint64_t lanes[4];
        _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
        return lanes[0] + lanes[1] + lanes[2] + lanes[3];
    }
};

constexpr VisionKernels kKernels{grey_row_of<Avx2>,        grey_difference_row_of<Avx2>,
                                 difference_rows_of<Avx2>, histogram_block_avx2,
                                 edge_band_avx2,           tile_band_avx2};

}  // namespace

const VisionKernels* vision_avx2() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const VisionKernels* vision_avx2() { return nullptr; }
}  // namespace edge_agent

#endif
