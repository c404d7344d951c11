// Counting and differentiating pictures with AVX2: 16 columns at a time, from top to bottom.
//
// Compiled with -mavx2; see vision_avx2.cpp for what that forbids.

#include "vision_avx2.h"

#if defined(__AVX2__)

#include <immintrin.h>

#include "vision_band.h"

namespace edge_agent {
namespace {

__m256i words_at(const std::uint8_t* at) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

__m256i plus(__m256i a, __m256i b) { return _mm256_add_epi16(a, b); }
__m256i minus(__m256i a, __m256i b) { return _mm256_sub_epi16(a, b); }

// Says that this value belongs in the register of the variable that it is given to: spares copies from row to row.
__m256i settled(__m256i x) {
    __asm__("" : "+x"(x));
    return x;
}

// Sums of a picture of up to 2^28 pixels.
struct Lanes {
    __m256i edges = _mm256_setzero_si256();    // 8 x 32 bits
    __m256i squares = _mm256_setzero_si256();  // 4 x 64 bits

    void add_to(EdgeSums* sums) const {
        alignas(32) std::uint32_t edge[8];
        alignas(32) std::uint64_t square[4];
        _mm256_store_si256(reinterpret_cast<__m256i*>(edge), edges);
        _mm256_store_si256(reinterpret_cast<__m256i*>(square), squares);
        for (std::uint64_t lane : edge) {
            sums->edges += lane;
        }
        for (std::uint64_t lane : square) {
            sums->laplacian_squared += lane;
        }
    }
};

// With q the sums of 2 x 2 pixels, and A B / C D the four of them around a pixel, the Sobel derivatives are
// gx = (B + D) - (A + C) and gy = (C + D) - (A + B). With e = D - A and f = B - C that is gx = e + f, gy = e - f, so
// gx^2 + gy^2 = 2 (e^2 + f^2): one row of q a row, two subtractions, and half the threshold.
template <bool kMasked>
struct Strip {
    Strip(const std::uint8_t* above, const std::uint8_t* here, std::int32_t threshold_squared, std::size_t done)
        : threshold(_mm256_set1_epi32(threshold_squared / 2)) {
        const __m256i lane = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        keep = _mm256_cmpgt_epi16(lane, _mm256_set1_epi16(static_cast<short>(static_cast<int>(done) - 1)));
        const __m256i a0 = words_at(above), a1 = words_at(above + 1), a2 = words_at(above + 2);
        const __m256i h0 = words_at(here), h1 = words_at(here + 1), h2 = words_at(here + 2);
        pair0 = plus(h0, h1);
        pair1 = plus(h1, h2);
        box0 = plus(pair0, plus(a0, a1));
        box1 = plus(pair1, plus(a1, a2));
        around = plus(a1, minus(plus(h0, h2), _mm256_slli_epi16(h1, 2)));
        middle = h1;
    }

    void step(const std::uint8_t* row) {
        const __m256i p0 = words_at(row), p1 = words_at(row + 1), p2 = words_at(row + 2);
        __m256i laplacian = plus(around, p1);
        around = plus(middle, minus(plus(p0, p2), _mm256_slli_epi16(p1, 2)));
        middle = settled(p1);
        const __m256i next0 = plus(p0, p1), next1 = plus(p1, p2);
        pair1 = settled(plus(pair1, next1));
        pair0 = settled(plus(pair0, next0));
        __m256i e = settled(minus(pair1, box0)), f = settled(minus(box1, pair0));
        box0 = settled(pair0);
        box1 = settled(pair1);
        pair0 = settled(next0);
        pair1 = settled(next1);
        if (kMasked) {
            laplacian = _mm256_and_si256(laplacian, keep);
            e = _mm256_and_si256(e, keep);
            f = _mm256_and_si256(f, keep);
        }
        const __m256i low = _mm256_unpacklo_epi16(e, f), high = _mm256_unpackhi_epi16(e, f);
        const __m256i above_low = _mm256_cmpgt_epi32(_mm256_madd_epi16(low, low), threshold);
        const __m256i above_high = _mm256_cmpgt_epi32(_mm256_madd_epi16(high, high), threshold);
        edges = settled(minus(edges, _mm256_packs_epi32(above_low, above_high)));
        squares =
            settled(_mm256_add_epi32(squares, _mm256_madd_epi16(laplacian, laplacian)));  // 64 * 2 * 1020^2 < 2^31
    }

    void finish(Lanes* lanes) const {
        const __m256i zero = _mm256_setzero_si256();
        lanes->edges = _mm256_add_epi32(lanes->edges, _mm256_madd_epi16(edges, _mm256_set1_epi16(1)));
        lanes->squares = _mm256_add_epi64(lanes->squares, _mm256_unpacklo_epi32(squares, zero));
        lanes->squares = _mm256_add_epi64(lanes->squares, _mm256_unpackhi_epi32(squares, zero));
    }

    __m256i threshold, keep;
    __m256i pair0, pair1;    // of the row before: p(x) + p(x + 1), for the left and the right column of boxes
    __m256i box0, box1;      // of the two rows before
    __m256i around, middle;  // the Laplacian of the row before as far as it is known, and that row
    __m256i edges = _mm256_setzero_si256();
    __m256i squares = _mm256_setzero_si256();
};

// Counts 8 pixels. In assembly, because the time of this loop depends on its instructions by 30 % and
// more, and compilers choose others with every change around it: this order runs at one store a cycle whatever the
// pixels are.
void count_eight(const std::uint8_t* pixels, LevelCounter* counter) {
    std::uint64_t levels, first, second;
    __builtin_memcpy(&levels, pixels, 8);
    __asm__(
        "movzbl %b[levels], %k[first]\n\t"
        "movzbl %h[levels], %k[second]\n\t"
        "shrq $16, %[levels]\n\t"
        "addl $1, (%[tables], %[first], 4)\n\t"
        "addl $1, 1024(%[tables], %[second], 4)\n\t"
        "movzbl %b[levels], %k[first]\n\t"
        "movzbl %h[levels], %k[second]\n\t"
        "shrq $16, %[levels]\n\t"
        "addl $1, 2048(%[tables], %[first], 4)\n\t"
        "addl $1, 3072(%[tables], %[second], 4)\n\t"
        "movzbl %b[levels], %k[first]\n\t"
        "movzbl %h[levels], %k[second]\n\t"
        "shrq $16, %[levels]\n\t"
        "addl $1, (%[tables], %[first], 4)\n\t"
        "addl $1, 1024(%[tables], %[second], 4)\n\t"
        "movzbl %b[levels], %k[first]\n\t"
        "shrq $8, %[levels]\n\t"
        "addl $1, 2048(%[tables], %[first], 4)\n\t"
        "addl $1, 3072(%[tables], %[levels], 4)"
        : [levels] "+Q"(levels), [first] "=&R"(first), [second] "=&R"(second), "+m"(counter->tables)
        : [tables] "r"(counter->tables)
        : "cc");
}

__m256i* vector_at(std::uint32_t* at) { return reinterpret_cast<__m256i*>(at); }

struct Avx2 {
    using Lanes = edge_agent::Lanes;
    template <bool kMasked>
    using Strip = edge_agent::Strip<kMasked>;

    static void count(const std::uint8_t* pixels, LevelCounter* counter) {
        count_eight(pixels, counter);
        count_eight(pixels + 8, counter);
    }

    // The counters of 8 levels from `level` on, of all tables.
    static __m256i merged(LevelCounter* counter, int level) {
        return _mm256_add_epi32(
            _mm256_add_epi32(*vector_at(counter->tables[0] + level), *vector_at(counter->tables[1] + level)),
            _mm256_add_epi32(*vector_at(counter->tables[2] + level), *vector_at(counter->tables[3] + level)));
    }

    // A bit for each 8 of 32 levels: 1 where one of them occurs.
    static std::uint32_t occupied_eights(const __m256i* added) {
        const __m256i low = _mm256_packs_epi32(added[0], added[1]), high = _mm256_packs_epi32(added[2], added[3]);
        const __m256i empty = _mm256_cmpeq_epi32(_mm256_packs_epi16(low, high), _mm256_setzero_si256());
        const auto halves = static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(empty)));
        return ~(halves & halves >> 4) & 15;
    }

    // Most tiles hold few of the levels. Which, is hard to guess; hence not a branch for each but one loop over them.
    static std::uint64_t harvest(const std::uint64_t* log_table, LevelCounter* counter) {
        alignas(32) std::uint32_t counts[256];
        std::uint32_t occupied = 0;
        for (int level = 0; level < 256; level += 32) {
            __m256i now[4], added[4];
            for (int i = 0; i < 4; ++i) {
                now[i] = merged(counter, level + 8 * i);
                added[i] = _mm256_sub_epi32(now[i], *vector_at(counter->before + level + 8 * i));
            }
            const __m256i any =
                _mm256_or_si256(_mm256_or_si256(added[0], added[1]), _mm256_or_si256(added[2], added[3]));
            if (_mm256_testz_si256(any, any) != 0) {
                continue;
            }
            for (int i = 0; i < 4; ++i) {
                *vector_at(counter->before + level + 8 * i) = now[i];
                *vector_at(counts + level + 8 * i) = added[i];
            }
            occupied |= occupied_eights(added) << (level / 8);
        }
        std::uint64_t even = 0, odd = 0;
        for (; occupied != 0; occupied &= occupied - 1) {
            const std::uint32_t* const eight = counts + 8 * __builtin_ctz(occupied);
            for (int i = 0; i < 8; i += 2) {
                even += log_table[eight[i]];
                odd += log_table[eight[i + 1]];
            }
        }
        return even + odd;
    }
};

}  // namespace

void edge_band_avx2(const ImageView& grey, std::size_t top, std::size_t bottom, std::int32_t threshold_squared,
                    EdgeSums* sums) {
    edge_band_of<Avx2>(grey, top, bottom, threshold_squared, sums);
}

void tile_band_avx2(const ImageView& grey, std::size_t top, std::size_t bottom, std::size_t tile,
                    const std::uint64_t* log_table, LevelCounter* counter, std::uint64_t* log_sums,
                    std::int32_t threshold_squared, EdgeSums* edges) {
    tile_band_of<Avx2>(grey, top, bottom, tile, log_table, counter, log_sums, threshold_squared, edges);
}

void histogram_block_avx2(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                          std::uint32_t* counts) {
    histogram_block_of<Avx2>(pixels, stride, width, height, counts);
}

}  // namespace edge_agent

#endif
