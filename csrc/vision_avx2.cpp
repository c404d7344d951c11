// The picture kernels for x86-64 with AVX2: 16 or 32 pixels at a time.
//
// Compiled with -mavx2. It uses no standard library templates, and everything in it has internal linkage, so that no
// AVX2 instruction leaks into code that runs before the CPU was asked.

#include "vision_kernels.h"

#if defined(__AVX2__)

#include <immintrin.h>

namespace edge_agent {
namespace {

const __m256i* vector_at(const std::uint8_t* at) { return reinterpret_cast<const __m256i*>(at); }

// Two times 4 BGR pixels, in the two halves, as (29 B + 99 G, 51 G + 77 R) words; 150 does not fit a signed byte.
__m256i weighted_pairs(const std::uint8_t* low, const std::uint8_t* high) {
    const __m256i shuffle = _mm256_setr_epi8(0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11,  //
                                             0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11);
    const __m256i weights = _mm256_set1_epi32(29 | 99 << 8 | 51 << 16 | 77 << 24);
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(low));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(high));
    const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    return _mm256_maddubs_epi16(_mm256_shuffle_epi8(both, shuffle), weights);
}

void grey_row(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    const __m256i rounding = _mm256_set1_epi16(128);
    std::size_t i = 0;
    for (; i + 34 <= pixels; i += 32) {  // the last load reads 4 bytes beyond its 32 pixels
        const std::uint8_t* low = bgr + 3 * i;
        const std::uint8_t* high = low + 48;
        __m256i a = _mm256_hadd_epi16(weighted_pairs(low, high), weighted_pairs(low + 12, high + 12));
        __m256i b = _mm256_hadd_epi16(weighted_pairs(low + 24, high + 24), weighted_pairs(low + 36, high + 36));
        a = _mm256_srli_epi16(_mm256_add_epi16(a, rounding), 8);
        b = _mm256_srli_epi16(_mm256_add_epi16(b, rounding), 8);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(grey + i), _mm256_packus_epi16(a, b));
    }
    vision_scalar()->grey_row(bgr + 3 * i, grey + i, pixels - i);
}

// Four tables, so that a run of equal pixels does not wait for its own last store. A tile is too small for them to pay:
// they must be cleared and added up.
void histogram_block(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                     std::uint32_t* counts) {
    if (width * height < 16384) {
        vision_scalar()->histogram_block(pixels, stride, width, height, counts);
        return;
    }
    alignas(64) std::uint32_t tables[4][256] = {};
    for (std::size_t y = 0; y < height; ++y, pixels += stride) {
        std::size_t x = 0;
        for (; x + 8 <= width; x += 8) {
            std::uint64_t eight;
            __builtin_memcpy(&eight, pixels + x, 8);
            ++tables[0][eight & 255];
            ++tables[1][eight >> 8 & 255];
            ++tables[2][eight >> 16 & 255];
            ++tables[3][eight >> 24 & 255];
            ++tables[0][eight >> 32 & 255];
            ++tables[1][eight >> 40 & 255];
            ++tables[2][eight >> 48 & 255];
            ++tables[3][eight >> 56];
        }
        for (; x < width; ++x) {
            ++tables[0][pixels[x]];
        }
    }
    for (std::size_t bin = 0; bin < 256; ++bin) {
        counts[bin] += tables[0][bin] + tables[1][bin] + tables[2][bin] + tables[3][bin];
    }
}

std::int64_t sum_lanes(__m256i x) {
    alignas(32) std::int64_t lanes[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), x);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

// Eight signed 32-bit lanes into four 64-bit ones.
__m256i widened(__m256i x) {
    return _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(x)),
                            _mm256_cvtepi32_epi64(_mm256_extracti128_si256(x, 1)));
}

__m256i words_at(const std::uint8_t* at) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

// 32-bit sums of a few hundred steps; flushed into EdgeSums before a lane can overflow.
struct EdgeLanes {
    __m256i edges = _mm256_setzero_si256();
    __m256i laplacian = _mm256_setzero_si256();
    __m256i squared = _mm256_setzero_si256();

    // 16 interior pixels from x on. Word lanes where `keep` is 0 count for nothing.
    void add(const std::uint8_t* above, const std::uint8_t* here, const std::uint8_t* below, __m256i threshold,
             __m256i keep) {
        const __m256i a0 = words_at(above - 1), a1 = words_at(above), a2 = words_at(above + 1);
        const __m256i h0 = words_at(here - 1), h1 = words_at(here), h2 = words_at(here + 1);
        const __m256i b0 = words_at(below - 1), b1 = words_at(below), b2 = words_at(below + 1);
        const __m256i across = _mm256_slli_epi16(_mm256_sub_epi16(h2, h0), 1);
        const __m256i gx = _mm256_and_si256(
            keep, _mm256_add_epi16(_mm256_add_epi16(_mm256_sub_epi16(a2, a0), _mm256_sub_epi16(b2, b0)), across));
        const __m256i down = _mm256_slli_epi16(_mm256_sub_epi16(b1, a1), 1);
        const __m256i gy = _mm256_and_si256(
            keep, _mm256_add_epi16(_mm256_add_epi16(_mm256_sub_epi16(b0, a0), _mm256_sub_epi16(b2, a2)), down));
        const __m256i around = _mm256_add_epi16(_mm256_add_epi16(a1, b1), _mm256_add_epi16(h0, h2));
        const __m256i lap = _mm256_and_si256(keep, _mm256_sub_epi16(around, _mm256_slli_epi16(h1, 2)));
        const __m256i low = _mm256_unpacklo_epi16(gx, gy);
        const __m256i high = _mm256_unpackhi_epi16(gx, gy);
        edges = _mm256_sub_epi32(edges, _mm256_cmpgt_epi32(_mm256_madd_epi16(low, low), threshold));
        edges = _mm256_sub_epi32(edges, _mm256_cmpgt_epi32(_mm256_madd_epi16(high, high), threshold));
        laplacian = _mm256_add_epi32(laplacian, _mm256_madd_epi16(lap, _mm256_set1_epi16(1)));
        squared = _mm256_add_epi32(squared, _mm256_madd_epi16(lap, lap));
    }

    void flush(EdgeSums* sums) {
        sums->edges += static_cast<std::uint64_t>(sum_lanes(widened(edges)));
        sums->laplacian += sum_lanes(widened(laplacian));
        sums->laplacian_squared += static_cast<std::uint64_t>(sum_lanes(widened(squared)));
        *this = EdgeLanes{};
    }
};

void edge_row(const std::uint8_t* above, const std::uint8_t* here, const std::uint8_t* below, std::size_t width,
              std::int32_t threshold_squared, EdgeSums* sums) {
    if (width < 18) {
        vision_scalar()->edge_row(above, here, below, width, threshold_squared, sums);
        return;
    }
    const __m256i threshold = _mm256_set1_epi32(threshold_squared);
    const __m256i all = _mm256_set1_epi16(-1);
    EdgeLanes lanes;
    std::size_t x = 1;
    std::size_t steps = 0;
    for (; x + 16 < width; x += 16) {
        lanes.add(above + x, here + x, below + x, threshold, all);
        if (++steps == 512) {  // 512 * 2 * 1020^2 < 2^31
            lanes.flush(sums);
            steps = 0;
        }
    }
    const int left = static_cast<int>(width - 1 - x);  // 0..15 pixels: again the last 16, without those already done
    if (left > 0) {
        const __m256i lane = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m256i keep = _mm256_cmpgt_epi16(lane, _mm256_set1_epi16(static_cast<short>(15 - left)));
        x = width - 17;
        lanes.add(above + x, here + x, below + x, threshold, keep);
    }
    lanes.flush(sums);
}

void difference_block(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b, std::ptrdiff_t b_stride,
                      std::size_t width, std::size_t height, std::uint8_t threshold, DifferenceSums* sums) {
    const __m256i limit = _mm256_set1_epi8(static_cast<char>(threshold));
    const __m256i zero = _mm256_setzero_si256();
    const __m256i one = _mm256_set1_epi8(1);
    const std::size_t vectors = width / 32 * 32;
    __m256i absolute = zero;
    __m256i same = zero;
    const std::uint8_t* a_row = a;
    const std::uint8_t* b_row = b;
    for (std::size_t y = 0; y < height; ++y, a_row += a_stride, b_row += b_stride) {
        for (std::size_t x = 0; x < vectors; x += 32) {
            const __m256i p = _mm256_loadu_si256(vector_at(a_row + x));
            const __m256i q = _mm256_loadu_si256(vector_at(b_row + x));
            const __m256i difference = _mm256_or_si256(_mm256_subs_epu8(p, q), _mm256_subs_epu8(q, p));
            const __m256i within = _mm256_cmpeq_epi8(_mm256_subs_epu8(difference, limit), zero);
            absolute = _mm256_add_epi64(absolute, _mm256_sad_epu8(difference, zero));
            same = _mm256_add_epi64(same, _mm256_sad_epu8(_mm256_and_si256(within, one), zero));
        }
    }
    sums->absolute += static_cast<std::uint64_t>(sum_lanes(absolute));
    sums->changed += vectors * height - static_cast<std::uint64_t>(sum_lanes(same));
    if (vectors < width) {
        vision_scalar()->difference_block(a + vectors, a_stride, b + vectors, b_stride, width - vectors, height,
                                          threshold, sums);
    }
}

constexpr VisionKernels kKernels{grey_row, histogram_block, edge_row, difference_block};

}  // namespace

const VisionKernels* vision_avx2() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const VisionKernels* vision_avx2() { return nullptr; }
}  // namespace edge_agent

#endif
