// Eight floats abreast, in plain C++, AVX2 and NEON: the arithmetic that the kernels of sound and of logits share.
//
// The same operations in the same order everywhere, so that results are equal to the bit. Everything has internal
// linkage, so that no AVX2 instruction leaks into code that runs before the CPU was asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace edge_agent {

constexpr std::size_t kLanes = 8;  // floats in a vector, on every instruction set

namespace {

// The specification of the others.
struct PlainLanes {
    struct Reg {
        float lane[kLanes];
    };
    // A vector of eight lanes, each by `make(lane)`.
    template <class Make>
    static Reg each(Make make) {
        Reg out;
        for (std::size_t i = 0; i < kLanes; ++i) {
            out.lane[i] = make(i);
        }
        return out;
    }
    static std::int32_t bits_of(float x) {
        std::int32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        return bits;
    }
    static float float_of(std::int32_t bits) {
        float x;
        std::memcpy(&x, &bits, sizeof x);
        return x;
    }
    static Reg load(const float* at) {
        return each([=](std::size_t i) { return at[i]; });
    }
    static Reg set(float x) {
        return each([=](std::size_t) { return x; });
    }
    static Reg add(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return a.lane[i] + b.lane[i]; });
    }
    static Reg sub(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return a.lane[i] - b.lane[i]; });
    }
    static Reg mul(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return a.lane[i] * b.lane[i]; });
    }
    static Reg max(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static float sum(const Reg& a) {
        const float* x = a.lane;
        return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
    }
};

#if defined(__AVX2__)

struct Avx2Lanes {
    using Reg = __m256;
    static Reg load(const float* at) { return _mm256_loadu_ps(at); }
    static Reg set(float x) { return _mm256_set1_ps(x); }
    static Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
    static Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
    static Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
    static Reg max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
    static float sum(Reg a) {
        const __m128 fours = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        const __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
        return _mm_cvtss_f32(_mm_add_ss(twos, _mm_movehdup_ps(twos)));
    }
};

#elif defined(__aarch64__) && defined(__ARM_NEON)

// Eight lanes in two registers.
struct NeonLanes {
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
};

#endif

}  // namespace
}  // namespace edge_agent
