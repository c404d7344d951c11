// The sound kernels for aarch64 with Advanced SIMD (NEON), which every 64-bit ARM has.

#include "sound_kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

#include "sound_lanes.h"

namespace edge_agent {
namespace {

struct Neon : NeonLanes {
    static void store(float* at, Reg x) {
        vst1q_f32(at, x.low);
        vst1q_f32(at + 4, x.high);
    }
    static Reg broadcast(const float* at) { return set(*at); }
    static Reg sqrt(Reg a) { return {vsqrtq_f32(a.low), vsqrtq_f32(a.high)}; }

    static Reg evens(Reg a, Reg b) { return {vuzp1q_f32(a.low, a.high), vuzp1q_f32(b.low, b.high)}; }
    static Reg odds(Reg a, Reg b) { return {vuzp2q_f32(a.low, a.high), vuzp2q_f32(b.low, b.high)}; }
    static void columns(const float* rows, Reg* out) {
        for (std::size_t half = 0; half < kLanes; half += 4) {
            four_columns(rows + half, &out[half].low, &out[half + 1].low, &out[half + 2].low, &out[half + 3].low);
            four_columns(rows + half + 8 * kLanes, &out[half].high, &out[half + 1].high, &out[half + 2].high,
                         &out[half + 3].high);
        }
    }
    static void four_columns(const float* rows, float32x4_t* a, float32x4_t* b, float32x4_t* c, float32x4_t* d) {
        const float32x4x2_t top = vtrnq_f32(vld1q_f32(rows), vld1q_f32(rows + 2 * kLanes));
        const float32x4x2_t bottom = vtrnq_f32(vld1q_f32(rows + 4 * kLanes), vld1q_f32(rows + 6 * kLanes));
        *a = vcombine_f32(vget_low_f32(top.val[0]), vget_low_f32(bottom.val[0]));
        *b = vcombine_f32(vget_low_f32(top.val[1]), vget_low_f32(bottom.val[1]));
        *c = vcombine_f32(vget_high_f32(top.val[0]), vget_high_f32(bottom.val[0]));
        *d = vcombine_f32(vget_high_f32(top.val[1]), vget_high_f32(bottom.val[1]));
    }

    static float32x4_t four_reversed(float32x4_t a) {
        const float32x4_t swapped = vrev64q_f32(a);
        return vextq_f32(swapped, swapped, 2);
    }
    static Reg reversed(Reg a) { return {four_reversed(a.high), four_reversed(a.low)}; }
    static Reg first(Reg a) {
        const float32x4_t zero = vdupq_n_f32(0.0F);
        return {vsetq_lane_f32(vgetq_lane_f32(a.low, 0), zero, 0), zero};
    }

    static void four_log_parts(float32x4_t x, float32x4_t* mantissa, float32x4_t* exponent) {
        const int32x4_t two_thirds = vdupq_n_s32(0x3f2aaaab);
        const int32x4_t bits = vsubq_s32(vreinterpretq_s32_f32(x), two_thirds);
        *exponent = vcvtq_f32_s32(vshrq_n_s32(bits, 23));
        const int32x4_t fraction = vandq_s32(bits, vdupq_n_s32(0x007fffff));
        *mantissa = vreinterpretq_f32_s32(vaddq_s32(fraction, two_thirds));
    }
    static void log_parts(Reg x, Reg* mantissa, Reg* exponent) {
        four_log_parts(x.low, &mantissa->low, &exponent->low);
        four_log_parts(x.high, &mantissa->high, &exponent->high);
    }

    static Reg from_int16(const std::int16_t* at) {
        const int16x8_t samples = vld1q_s16(at);
        return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(samples))), vcvtq_f32_s32(vmovl_high_s16(samples))};
    }

    static uint32x4_t bits_at(const float* at) { return vreinterpretq_u32_f32(vld1q_f32(at)); }
    static std::int32_t crossings(const float* samples, std::size_t window) {
        uint32x4_t count = vdupq_n_u32(0);
        uint32x4_t before = vreinterpretq_u32_f32(vdupq_n_f32(samples[0]));
        for (std::size_t n = 0; n < window; n += 4) {  // no sample is -0.0
            const uint32x4_t now = bits_at(samples + n);
            count = vsraq_n_u32(count, veorq_u32(now, vextq_u32(before, now, 3)), 31);
            before = now;
        }
        return static_cast<std::int32_t>(vaddvq_u32(count));
    }

    // Without its sign, a float has the order of its bits; NaN comes last.
    struct Largest {
        uint32x4_t low;
        uint32x4_t high;
    };
    static Largest nothing() { return {vdupq_n_u32(0), vdupq_n_u32(0)}; }
    static Largest larger(Largest largest, const float* at) {
        const uint32x4_t mask = vdupq_n_u32(0x7fffffff);
        return {vmaxq_u32(largest.low, vandq_u32(bits_at(at), mask)),
                vmaxq_u32(largest.high, vandq_u32(bits_at(at + 4), mask))};
    }
    static bool above(Largest largest, float limit) {
        const uint32x4_t larger =
            vcgtq_u32(vmaxq_u32(largest.low, largest.high), vreinterpretq_u32_f32(vdupq_n_f32(limit)));
        return vmaxvq_u32(larger) != 0;
    }
};

}  // namespace

const SoundKernels* sound_neon() { return &sound_kernels<Neon>; }

}  // namespace edge_agent

#else

namespace edge_agent {
const SoundKernels* sound_neon() { return nullptr; }
}  // namespace edge_agent

#endif
