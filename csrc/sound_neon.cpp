// The sound kernels for aarch64 with Advanced SIMD (NEON), which every 64-bit ARM has: 4 STFT frames at a time.

#include "sound_kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

#include "fft.h"

namespace edge_agent {
namespace {

// A vector of four lanes.
struct Four {
    using Reg = float32x4_t;
    static constexpr std::size_t lanes = 4;
    static Reg load(const float* at) { return vld1q_f32(at); }
    static void store(float* at, Reg x) { vst1q_f32(at, x); }
    static Reg broadcast(const float* at) { return vld1q_dup_f32(at); }
    static Reg set(float x) { return vdupq_n_f32(x); }
    static Reg add(Reg a, Reg b) { return vaddq_f32(a, b); }
    static Reg sub(Reg a, Reg b) { return vsubq_f32(a, b); }
    static Reg mul(Reg a, Reg b) { return vmulq_f32(a, b); }
    static Reg div(Reg a, Reg b) { return vdivq_f32(a, b); }
    static Reg max(Reg a, Reg b) { return vmaxq_f32(a, b); }
    static Reg sqrt(Reg a) { return vsqrtq_f32(a); }

    static Reg sign_change(Reg a, Reg b) {
        const uint32x4_t differ = veorq_u32(vcltzq_f32(a), vcltzq_f32(b));
        return vreinterpretq_f32_u32(vandq_u32(differ, vreinterpretq_u32_f32(vdupq_n_f32(1.0F))));
    }

    static Reg shift_in(Reg x, const float* first) { return vextq_f32(vld1q_dup_f32(first), x, 3); }

    // out[i] lane l = rows[l][i], for 4 x 4 values.
    static void load_transposed(const float* const* rows, Reg* out) {
        const float32x4x2_t top = vtrnq_f32(vld1q_f32(rows[0]), vld1q_f32(rows[1]));
        const float32x4x2_t bottom = vtrnq_f32(vld1q_f32(rows[2]), vld1q_f32(rows[3]));
        for (int i = 0; i < 2; ++i) {
            out[i] = vcombine_f32(vget_low_f32(top.val[i]), vget_low_f32(bottom.val[i]));
            out[2 + i] = vcombine_f32(vget_high_f32(top.val[i]), vget_high_f32(bottom.val[i]));
        }
    }

    // As One::log_parts.
    static void log_parts(Reg x, Reg* mantissa, Reg* exponent) {
        const int32x4_t half_root = vdupq_n_s32(0x3f3504f3);
        const int32x4_t bits = vsubq_s32(vreinterpretq_s32_f32(x), half_root);
        *exponent = vcvtq_f32_s32(vshrq_n_s32(bits, 23));
        const int32x4_t fraction = vandq_s32(bits, vdupq_n_s32(0x007fffff));
        *mantissa = vreinterpretq_f32_s32(vaddq_s32(fraction, half_root));
    }
};

constexpr SoundKernels kKernels{Four::lanes, sound_frames_lanes<Four>};

}  // namespace

const SoundKernels* sound_neon() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const SoundKernels* sound_neon() { return nullptr; }
}  // namespace edge_agent

#endif
