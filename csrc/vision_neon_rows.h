// Turning rows into grey and comparing them with NEON, 16 columns at a time. What is here is compiled for more than one
// instruction set and must not be shared between their files: hence the unnamed namespace.
#pragma once

#include <arm_neon.h>

#include "vision_rows.h"

namespace edge_agent {
namespace {  // NOLINT(google-build-namespaces)

// Absolute gives the sums of 4 columns each: add(uint32x4_t, difference).
template <class Absolute>
struct NeonRows {
    using Bytes = uint8x16_t;
    using Sums = uint32x4_t;
    static constexpr std::size_t kBytes = 16;

    static Bytes load(const std::uint8_t* at) { return vld1q_u8(at); }
    static void store(std::uint8_t* at, Bytes x) { vst1q_u8(at, x); }
    static Bytes splat(std::uint8_t level) { return vdupq_n_u8(level); }
    static Bytes zero() { return vdupq_n_u8(0); }
    static Sums no_sums() { return vdupq_n_u32(0); }

    static Bytes grey(const std::uint8_t* bgr) {
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

    static void differ(Bytes a, Bytes b, Bytes limit, Sums* sums, Bytes* unchanged) {
        const uint8x16_t difference = vabdq_u8(a, b);
        *unchanged = vsubq_u8(*unchanged, vcleq_u8(difference, limit));
        *sums = Absolute::add(*sums, difference);
    }

    static void add_to(std::uint32_t* absolute, Sums sums) {
        vst1q_u32(absolute, vaddq_u32(vld1q_u32(absolute), sums));
    }
    static std::uint64_t sum_of(Bytes bytes) { return vaddlvq_u8(bytes); }
};

}  // namespace
}  // namespace edge_agent
