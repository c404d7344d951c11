// The logits' kernels for aarch64 with Advanced SIMD (NEON), which every 64-bit ARM has.

#include "logits_kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

#include <cstdint>

#include "logits_lanes.h"

namespace edge_agent {
namespace {

struct Neon : NeonLanes {
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
        return equal == 0 ? kLanes : static_cast<std::size_t>(__builtin_ctzll(equal)) / 8;
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
