// The logits' kernels for aarch64 with Advanced SIMD (NEON), which every 64-bit ARM has.

#include "logits_kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

#include <cstdint>

#include "logits_lanes.h"

namespace edge_agent {
namespace {

// Eight lanes in two registers.
struct Neon {
    struct Reg {
        float32x4_t low;
        float32x4_t high;
    };
    static Reg load(const float* at) { return {vld1q_f32(at), vld1q_f32(at + 4)}; }
    static Reg set(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
    static Reg add(Reg a, Reg b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
    static Reg sub(Reg a, Reg b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
    static Reg mul(Reg a, Reg b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
    static Reg max(Reg a, Reg b) { return {vmaxq_f32(a.low, b.low), vmaxq_f32(a.high, b.high)}; }
    static float sum(Reg a) {
        const float32x4_t fours = vaddq_f32(a.low, a.high);
        const float32x2_t twos = vadd_f32(vget_low_f32(fours), vget_high_f32(fours));
        return vget_lane_f32(twos, 0) + vget_lane_f32(twos, 1);
    }
    static float largest(Reg a) { return vmaxvq_f32(vmaxq_f32(a.low, a.high)); }
    static float32x4_t four_times_power(float32x4_t x, float32x4_t by) {
        const uint32x4_t power = vshlq_n_u32(vreinterpretq_u32_f32(by), 23);
        return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(x), power));
    }
    static Reg times_power(Reg x, Reg by) {
        return {four_times_power(x.low, by.low), four_times_power(x.high, by.high)};
    }
    static std::size_t found(Reg a, float x) {
        const float32x4_t wanted = vdupq_n_f32(x);
        const uint16x4_t low = vmovn_u32(vceqq_f32(a.low, wanted));
        const uint16x4_t high = vmovn_u32(vceqq_f32(a.high, wanted));
        const std::uint64_t equal =
            vget_lane_u64(vreinterpret_u64_u8(vmovn_u16(vcombine_u16(low, high))), 0);  // a byte a lane
        return equal == 0 ? kLogitLanes : static_cast<std::size_t>(__builtin_ctzll(equal)) / 8;
    }
};

}  // namespace

const LogitsKernels* logits_neon() { return &logits_kernels<Neon>(); }

}  // namespace edge_agent

#else

namespace edge_agent {
const LogitsKernels* logits_neon() { return nullptr; }
}  // namespace edge_agent

#endif
