// The picture kernels for x86-64 with AVX2: here whole rows, 32 pixels at a time; vision_avx2_band.cpp has the rest.
//
// Compiled with -mavx2. The AVX2 files use no standard library templates, and what they share with nobody has internal
// linkage, so that no AVX2 instruction leaks into code that runs before the CPU was asked.

#include "vision_avx2.h"

#if defined(__AVX2__)

#include <immintrin.h>

namespace edge_agent {
namespace {

__m256i loaded(const std::uint8_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }

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

void grey_row(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    std::size_t i = 0;
    for (; i + 32 <= pixels; i += 32) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(grey + i), grey_of_32(bgr + 3 * i));
    }
    vision_scalar()->grey_row(bgr + 3 * i, grey + i, pixels - i);
}

// Adds up how 32 pixels differ; `within` counts, a byte a column, the pixels that have not changed.
void add_difference(__m256i a, __m256i b, __m256i limit, std::uint64_t* absolute, __m256i* within) {
    const __m256i difference = _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a));
    const __m256i unchanged = _mm256_cmpeq_epi8(_mm256_min_epu8(difference, limit), difference);
    *within = _mm256_sub_epi8(*within, unchanged);
    __m256i* const sums = reinterpret_cast<__m256i*>(absolute);
    _mm256_storeu_si256(sums, _mm256_add_epi64(_mm256_loadu_si256(sums), _mm256_sad_epu8(a, b)));
}

std::uint64_t sum_of_bytes(__m256i bytes) {
    alignas(32) std::uint64_t lanes[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

constexpr std::size_t kBlock = 32 * 255;  // columns until a byte that counts one in 32 of them may be full

void grey_difference_row(const std::uint8_t* bgr, std::uint8_t* kept, std::size_t width, std::uint8_t threshold,
                         ColumnSums* sums) {
    const __m256i limit = _mm256_set1_epi8(static_cast<char>(threshold));
    const std::size_t vectors = width / 32 * 32;
    for (std::size_t start = 0; start < vectors; start += kBlock) {
        const std::size_t end = vectors - start < kBlock ? vectors : start + kBlock;
        __m256i within = _mm256_setzero_si256();
        for (std::size_t x = start; x < end; x += 32) {
            const __m256i now = grey_of_32(bgr + 3 * x);
            add_difference(now, loaded(kept + x), limit, sums->absolute + x / 8, &within);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(kept + x), now);
        }
        sums->changed += end - start - sum_of_bytes(within);
    }
    if (vectors < width) {
        ColumnSums tail{sums->absolute + vectors / 8, 0};
        vision_scalar()->grey_difference_row(bgr + 3 * vectors, kept + vectors, width - vectors, threshold, &tail);
        sums->changed += tail.changed;
    }
}

void difference_rows(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b, std::ptrdiff_t b_stride,
                     std::size_t width, std::size_t height, std::uint8_t threshold, ColumnSums* sums) {
    const __m256i limit = _mm256_set1_epi8(static_cast<char>(threshold));
    const std::size_t vectors = width / 32 * 32;
    const std::uint8_t* a_row = a;
    const std::uint8_t* b_row = b;
    for (std::size_t y = 0; y < height; ++y, a_row += a_stride, b_row += b_stride) {
        for (std::size_t start = 0; start < vectors; start += kBlock) {
            const std::size_t end = vectors - start < kBlock ? vectors : start + kBlock;
            __m256i within = _mm256_setzero_si256();
            for (std::size_t x = start; x < end; x += 32) {
                add_difference(loaded(a_row + x), loaded(b_row + x), limit, sums->absolute + x / 8, &within);
            }
            sums->changed += end - start - sum_of_bytes(within);
        }
    }
    if (vectors < width) {
        ColumnSums tail{sums->absolute + vectors / 8, 0};
        vision_scalar()->difference_rows(a + vectors, a_stride, b + vectors, b_stride, width - vectors, height,
                                         threshold, &tail);
        sums->changed += tail.changed;
    }
}

constexpr VisionKernels kKernels{grey_row,       grey_difference_row, difference_rows, histogram_block_avx2,
                                 edge_band_avx2, tile_band_avx2};

}  // namespace

const VisionKernels* vision_avx2() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const VisionKernels* vision_avx2() { return nullptr; }
}  // namespace edge_agent

#endif
