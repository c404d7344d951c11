// The picture kernels for aarch64 with Advanced SIMD (NEON), which every 64-bit ARM has: 8 or 16 pixels at a time.

#include "vision_kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

namespace edge_agent {
namespace {

uint8x8_t weighted_sum(uint8x8_t b, uint8x8_t g, uint8x8_t r) {
    uint16x8_t sum = vmull_u8(b, vdup_n_u8(29));
    sum = vmlal_u8(sum, g, vdup_n_u8(150));
    sum = vmlal_u8(sum, r, vdup_n_u8(77));
    return vrshrn_n_u16(sum, 8);
}

void grey_row(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    std::size_t i = 0;
    for (; i + 16 <= pixels; i += 16) {
        const uint8x16x3_t p = vld3q_u8(bgr + 3 * i);
        const uint8x8_t low = weighted_sum(vget_low_u8(p.val[0]), vget_low_u8(p.val[1]), vget_low_u8(p.val[2]));
        const uint8x8_t high = weighted_sum(vget_high_u8(p.val[0]), vget_high_u8(p.val[1]), vget_high_u8(p.val[2]));
        vst1q_u8(grey + i, vcombine_u8(low, high));
    }
    vision_scalar()->grey_row(bgr + 3 * i, grey + i, pixels - i);
}

// Four tables: older cores wait long for a load of what they have just stored.
void histogram_block(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                     std::uint32_t* counts) {
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

// a - b as signed words.
int16x8_t minus(uint8x8_t a, uint8x8_t b) { return vreinterpretq_s16_u16(vsubl_u8(a, b)); }

// a + b as signed words.
int16x8_t plus(uint8x8_t a, uint8x8_t b) { return vreinterpretq_s16_u16(vaddl_u8(a, b)); }

int32x4_t squares(int16x4_t a, int16x4_t b) { return vmlal_s16(vmull_s16(a, a), b, b); }

// 32-bit sums of a few hundred steps; flushed into EdgeSums before a lane can overflow.
struct EdgeLanes {
    uint32x4_t edges = vdupq_n_u32(0);
    int32x4_t laplacian = vdupq_n_s32(0);
    int32x4_t squared = vdupq_n_s32(0);

    void add(const std::uint8_t* above, const std::uint8_t* here, const std::uint8_t* below, int32x4_t threshold) {
        const uint8x8_t a0 = vld1_u8(above - 1), a1 = vld1_u8(above), a2 = vld1_u8(above + 1);
        const uint8x8_t h0 = vld1_u8(here - 1), h1 = vld1_u8(here), h2 = vld1_u8(here + 1);
        const uint8x8_t b0 = vld1_u8(below - 1), b1 = vld1_u8(below), b2 = vld1_u8(below + 1);
        const int16x8_t gx = vaddq_s16(vaddq_s16(minus(a2, a0), minus(b2, b0)), vshlq_n_s16(minus(h2, h0), 1));
        const int16x8_t gy = vaddq_s16(vaddq_s16(minus(b0, a0), minus(b2, a2)), vshlq_n_s16(minus(b1, a1), 1));
        const int16x8_t middle = vreinterpretq_s16_u16(vshll_n_u8(h1, 2));
        const int16x8_t lap = vsubq_s16(vaddq_s16(plus(a1, b1), plus(h0, h2)), middle);
        const int32x4_t low = squares(vget_low_s16(gx), vget_low_s16(gy));
        const int32x4_t high = squares(vget_high_s16(gx), vget_high_s16(gy));
        edges = vsubq_u32(edges, vcgtq_s32(low, threshold));
        edges = vsubq_u32(edges, vcgtq_s32(high, threshold));
        laplacian = vpadalq_s16(laplacian, lap);
        squared = vmlal_s16(squared, vget_low_s16(lap), vget_low_s16(lap));
        squared = vmlal_s16(squared, vget_high_s16(lap), vget_high_s16(lap));
    }

    void flush(EdgeSums* sums) {
        sums->edges += vaddlvq_u32(edges);
        sums->laplacian += vaddlvq_s32(laplacian);
        sums->laplacian_squared += static_cast<std::uint64_t>(vaddlvq_s32(squared));
        *this = EdgeLanes{};
    }
};

void edge_row(const std::uint8_t* above, const std::uint8_t* here, const std::uint8_t* below, std::size_t width,
              std::int32_t threshold_squared, EdgeSums* sums) {
    const int32x4_t threshold = vdupq_n_s32(threshold_squared);
    EdgeLanes lanes;
    std::size_t x = 1;
    std::size_t steps = 0;
    for (; x + 8 < width; x += 8) {
        lanes.add(above + x, here + x, below + x, threshold);
        if (++steps == 512) {  // 512 * 2 * 1020^2 < 2^31
            lanes.flush(sums);
            steps = 0;
        }
    }
    lanes.flush(sums);
    if (x + 1 < width) {
        vision_scalar()->edge_row(above + x - 1, here + x - 1, below + x - 1, width - x + 1, threshold_squared, sums);
    }
}

void difference_block(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b, std::ptrdiff_t b_stride,
                      std::size_t width, std::size_t height, std::uint8_t threshold, DifferenceSums* sums) {
    const uint8x16_t limit = vdupq_n_u8(threshold);
    const std::size_t vectors = width / 16 * 16;
    uint32x4_t absolute = vdupq_n_u32(0);
    uint32x4_t changed = vdupq_n_u32(0);
    const std::uint8_t* a_row = a;
    const std::uint8_t* b_row = b;
    for (std::size_t y = 0; y < height; ++y, a_row += a_stride, b_row += b_stride) {
        for (std::size_t x = 0; x < vectors; x += 16) {
            const uint8x16_t difference = vabdq_u8(vld1q_u8(a_row + x), vld1q_u8(b_row + x));
            const uint8x16_t above = vshrq_n_u8(vcgtq_u8(difference, limit), 7);
            absolute = vpadalq_u16(absolute, vpaddlq_u8(difference));
            changed = vpadalq_u16(changed, vpaddlq_u8(above));
        }
    }
    sums->absolute += vaddlvq_u32(absolute);
    sums->changed += vaddlvq_u32(changed);
    if (vectors < width) {
        vision_scalar()->difference_block(a + vectors, a_stride, b + vectors, b_stride, width - vectors, height,
                                          threshold, sums);
    }
}

constexpr VisionKernels kKernels{grey_row, histogram_block, edge_row, difference_block};

}  // namespace

const VisionKernels* vision_neon() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const VisionKernels* vision_neon() { return nullptr; }
}  // namespace edge_agent

#endif
