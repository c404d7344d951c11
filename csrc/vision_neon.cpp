// The picture kernels for aarch64 with Advanced SIMD (NEON), which every 64-bit ARM has: here whole rows, 16 pixels at
// a time; vision_neon_band.cpp has the rest.

#include "vision_neon.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

namespace edge_agent {
namespace {

uint8x16_t grey_of_16(const std::uint8_t* bgr) {
    const uint8x16x3_t p = vld3q_u8(bgr);
    const uint8x16_t blue = vdupq_n_u8(29), green = vdupq_n_u8(150), red = vdupq_n_u8(77);
    uint16x8_t low = vmull_u8(vget_low_u8(p.val[0]), vget_low_u8(blue));
    uint16x8_t high = vmull_high_u8(p.val[0], blue);
    low = vmlal_u8(low, vget_low_u8(p.val[1]), vget_low_u8(green));
    high = vmlal_high_u8(high, p.val[1], green);
    low = vmlal_u8(low, vget_low_u8(p.val[2]), vget_low_u8(red));
    high = vmlal_high_u8(high, p.val[2], red);
    return vrshrn_high_n_u16(vrshrn_n_u16(low, 8), high, 8);
}

void grey_row(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    std::size_t i = 0;
    for (; i + 16 <= pixels; i += 16) {
        vst1q_u8(grey + i, grey_of_16(bgr + 3 * i));
    }
    vision_scalar()->grey_row(bgr + 3 * i, grey + i, pixels - i);
}

// Adds up how 16 pixels differ; `changed` counts, a byte a column, those that have changed.
void add_difference(uint8x16_t a, uint8x16_t b, uint8x16_t limit, std::uint64_t* absolute, uint8x16_t* changed) {
    const uint8x16_t difference = vabdq_u8(a, b);
    *changed = vsubq_u8(*changed, vcgtq_u8(difference, limit));
    const uint32x4_t fours = vpaddlq_u16(vpaddlq_u8(difference));
    vst1q_u64(absolute, vpadalq_u32(vld1q_u64(absolute), fours));
}

constexpr std::size_t kBlock = 16 * 255;  // columns until a byte that counts one in 16 of them may be full

void grey_difference_row(const std::uint8_t* bgr, std::uint8_t* kept, std::size_t width, std::uint8_t threshold,
                         ColumnSums* sums) {
    const uint8x16_t limit = vdupq_n_u8(threshold);
    const std::size_t vectors = width / 16 * 16;
    for (std::size_t start = 0; start < vectors; start += kBlock) {
        const std::size_t end = vectors - start < kBlock ? vectors : start + kBlock;
        uint8x16_t changed = vdupq_n_u8(0);
        for (std::size_t x = start; x < end; x += 16) {
            const uint8x16_t now = grey_of_16(bgr + 3 * x);
            add_difference(now, vld1q_u8(kept + x), limit, sums->absolute + x / 8, &changed);
            vst1q_u8(kept + x, now);
        }
        sums->changed += vaddlvq_u8(changed);
    }
    if (vectors < width) {
        ColumnSums tail{sums->absolute + vectors / 8, 0};
        vision_scalar()->grey_difference_row(bgr + 3 * vectors, kept + vectors, width - vectors, threshold, &tail);
        sums->changed += tail.changed;
    }
}

void difference_rows(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b, std::ptrdiff_t b_stride,
                     std::size_t width, std::size_t height, std::uint8_t threshold, ColumnSums* sums) {
    const uint8x16_t limit = vdupq_n_u8(threshold);
    const std::size_t vectors = width / 16 * 16;
    const std::uint8_t* a_row = a;
    const std::uint8_t* b_row = b;
    for (std::size_t y = 0; y < height; ++y, a_row += a_stride, b_row += b_stride) {
        for (std::size_t start = 0; start < vectors; start += kBlock) {
            const std::size_t end = vectors - start < kBlock ? vectors : start + kBlock;
            uint8x16_t changed = vdupq_n_u8(0);
            for (std::size_t x = start; x < end; x += 16) {
                add_difference(vld1q_u8(a_row + x), vld1q_u8(b_row + x), limit, sums->absolute + x / 8, &changed);
            }
            sums->changed += vaddlvq_u8(changed);
        }
    }
    if (vectors < width) {
        ColumnSums tail{sums->absolute + vectors / 8, 0};
        vision_scalar()->difference_rows(a + vectors, a_stride, b + vectors, b_stride, width - vectors, height,
                                         threshold, &tail);
        sums->changed += tail.changed;
    }
}

constexpr VisionKernels kKernels{grey_row,       grey_difference_row, difference_rows, histogram_block_neon,
                                 edge_band_neon, tile_band_neon};

}  // namespace

const VisionKernels* vision_neon() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const VisionKernels* vision_neon() { return nullptr; }
}  // namespace edge_agent

#endif
