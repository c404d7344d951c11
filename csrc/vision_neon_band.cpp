// Counting and differentiating pictures with NEON: 16 columns at a time, from top to bottom.

#include "vision_neon.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

#include "vision_band.h"

namespace edge_agent {
namespace {

// 16 signed words, as two halves.
struct Words {
    int16x8_t low, high;
};

Words operator+(Words a, Words b) { return {vaddq_s16(a.low, b.low), vaddq_s16(a.high, b.high)}; }
Words operator-(Words a, Words b) { return {vsubq_s16(a.low, b.low), vsubq_s16(a.high, b.high)}; }
Words operator&(Words a, Words b) { return {vandq_s16(a.low, b.low), vandq_s16(a.high, b.high)}; }

int16x8_t as_signed(uint16x8_t words) { return vreinterpretq_s16_u16(words); }

// a + b of 16 bytes each.
Words sum_of(uint8x16_t a, uint8x16_t b) {
    return {as_signed(vaddl_u8(vget_low_u8(a), vget_low_u8(b))), as_signed(vaddl_high_u8(a, b))};
}

// words + b.
Words plus(Words words, uint8x16_t b) {
    return {as_signed(vaddw_u8(vreinterpretq_u16_s16(words.low), vget_low_u8(b))),
            as_signed(vaddw_high_u8(vreinterpretq_u16_s16(words.high), b))};
}

// words - 4 b.
Words minus_four(Words words, uint8x16_t b) {
    const uint8x16_t four = vdupq_n_u8(4);
    return {as_signed(vmlsl_u8(vreinterpretq_u16_s16(words.low), vget_low_u8(b), vget_low_u8(four))),
            as_signed(vmlsl_high_u8(vreinterpretq_u16_s16(words.high), b, four))};
}

// Sums of a picture of up to 2^28 pixels.
struct Lanes {
    uint32x4_t edges = vdupq_n_u32(0);
    uint64x2_t squares = vdupq_n_u64(0);

    void add_to(EdgeSums* sums) const {
        sums->edges += vaddlvq_u32(edges);
        sums->laplacian_squared += vaddvq_u64(squares);
    }
};

// See vision_avx2_band.cpp for why e and f are enough.
template <bool kMasked>
struct Strip {
    Strip(const std::uint8_t* above, const std::uint8_t* here, std::int32_t threshold_squared, std::size_t done)
        : threshold(vdupq_n_s32(threshold_squared / 2)) {
        const std::int16_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        const int16x8_t first = vdupq_n_s16(static_cast<std::int16_t>(done));
        keep = {as_signed(vcgeq_s16(vld1q_s16(lanes), first)), as_signed(vcgeq_s16(vld1q_s16(lanes + 8), first))};
        const uint8x16_t a0 = vld1q_u8(above), a1 = vld1q_u8(above + 1), a2 = vld1q_u8(above + 2);
        const uint8x16_t h0 = vld1q_u8(here), h1 = vld1q_u8(here + 1), h2 = vld1q_u8(here + 2);
        pair0 = sum_of(h0, h1);
        pair1 = sum_of(h1, h2);
        box0 = pair0 + sum_of(a0, a1);
        box1 = pair1 + sum_of(a1, a2);
        around = plus(minus_four(sum_of(h0, h2), h1), a1);
        middle = h1;
    }

    void step(const std::uint8_t* row) {
        const uint8x16_t p0 = vld1q_u8(row), p1 = vld1q_u8(row + 1), p2 = vld1q_u8(row + 2);
        Words laplacian = plus(around, p1);
        around = plus(minus_four(sum_of(p0, p2), p1), middle);
        middle = p1;
        const Words next0 = sum_of(p0, p1), next1 = sum_of(p1, p2);
        const Words below0 = pair0 + next0, below1 = pair1 + next1;
        Words e = below1 - box0, f = box1 - below0;
        if (kMasked) {
            laplacian = laplacian & keep;
            e = e & keep;
            f = f & keep;
        }
        box0 = below0;
        box1 = below1;
        pair0 = next0;
        pair1 = next1;
        add(e.low, f.low, laplacian.low);
        add(e.high, f.high, laplacian.high);
    }

    void add(int16x8_t e, int16x8_t f, int16x8_t laplacian) {
        const int32x4_t low = vmlal_s16(vmull_s16(vget_low_s16(e), vget_low_s16(e)), vget_low_s16(f), vget_low_s16(f));
        const int32x4_t high = vmlal_high_s16(vmull_high_s16(e, e), f, f);
        edges = vsubq_u32(edges, vcgtq_s32(low, threshold));
        edges = vsubq_u32(edges, vcgtq_s32(high, threshold));
        squares = vmlal_s16(squares, vget_low_s16(laplacian), vget_low_s16(laplacian));
        squares = vmlal_high_s16(squares, laplacian, laplacian);  // 64 * 4 * 1020^2 < 2^31
    }

    void finish(Lanes* lanes) const {
        lanes->edges = vaddq_u32(lanes->edges, edges);
        lanes->squares = vpadalq_u32(lanes->squares, vreinterpretq_u32_s32(squares));
    }

    int32x4_t threshold;
    Words keep;
    Words pair0, pair1;  // of the row before: p(x) + p(x + 1), for the left and the right column of boxes
    Words box0, box1;    // of the two rows before
    Words around;        // the Laplacian of the row before as far as it is known
    uint8x16_t middle;   // and that row
    uint32x4_t edges = vdupq_n_u32(0);
    int32x4_t squares = vdupq_n_s32(0);
};

struct Neon {
    using Lanes = edge_agent::Lanes;
    template <bool kMasked>
    using Strip = edge_agent::Strip<kMasked>;

    static void count_eight(const std::uint8_t* pixels, LevelCounter* counter) {
        std::uint64_t levels;
        __builtin_memcpy(&levels, pixels, 8);
        for (int i = 0; i < 8; ++i, levels >>= 8) {
            ++counter->tables[i % 4][levels & 255];
        }
    }

    static void count(const std::uint8_t* pixels, LevelCounter* counter) {
        count_eight(pixels, counter);
        count_eight(pixels + 8, counter);
    }

    static uint32x4_t merged(const LevelCounter* counter, int level) {
        return vaddq_u32(vaddq_u32(vld1q_u32(counter->tables[0] + level), vld1q_u32(counter->tables[1] + level)),
                         vaddq_u32(vld1q_u32(counter->tables[2] + level), vld1q_u32(counter->tables[3] + level)));
    }

    static std::uint64_t harvest(const std::uint64_t* log_table, LevelCounter* counter) {
        std::uint64_t even = 0, odd = 0;
        for (int level = 0; level < 256; level += 8) {  // most tiles hold few of the levels
            const uint32x4_t low = merged(counter, level), high = merged(counter, level + 4);
            const uint32x4_t low_added = vsubq_u32(low, vld1q_u32(counter->before + level));
            const uint32x4_t high_added = vsubq_u32(high, vld1q_u32(counter->before + level + 4));
            if (vmaxvq_u32(vorrq_u32(low_added, high_added)) == 0) {
                continue;
            }
            vst1q_u32(counter->before + level, low);
            vst1q_u32(counter->before + level + 4, high);
            std::uint32_t counts[8];
            vst1q_u32(counts, low_added);
            vst1q_u32(counts + 4, high_added);
            for (int i = 0; i < 8; i += 2) {
                even += log_table[counts[i]];
                odd += log_table[counts[i + 1]];
            }
        }
        return even + odd;
    }
};

}  // namespace

void edge_band_neon(const ImageView& grey, std::size_t top, std::size_t bottom, std::int32_t threshold_squared,
                    EdgeSums* sums) {
    edge_band_of<Neon>(grey, top, bottom, threshold_squared, sums);
}

void tile_band_neon(const ImageView& grey, std::size_t top, std::size_t bottom, std::size_t tile,
                    const std::uint64_t* log_table, LevelCounter* counter, std::uint64_t* log_sums,
                    std::int32_t threshold_squared, EdgeSums* edges) {
    tile_band_of<Neon>(grey, top, bottom, tile, log_table, counter, log_sums, threshold_squared, edges);
}

void histogram_block_neon(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                          std::uint32_t* counts) {
    histogram_block_of<Neon>(pixels, stride, width, height, counts);
}

}  // namespace edge_agent

#endif
