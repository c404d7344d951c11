// The tensor kernels for aarch64 with Advanced SIMD (NEON), which every 64-bit ARM has: 4 floats or 16 bytes at a time.

#include "tensor_kernels.h"
#include "tensor_multiply.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

namespace edge_agent {
namespace {

// As in tensor_avx2_quantise.cpp.
constexpr std::size_t kSegment = 1024;
constexpr float kSmallestScale = 0x1p-100F;

uint32x4_t magnitudes(float32x4_t x) { return vreinterpretq_u32_f32(vabsq_f32(x)); }

// Of 16 values, in four lanes.
uint32x4_t largest_magnitudes(const float* at) {
    const float32x4x4_t x = vld1q_f32_x4(at);
    return vmaxq_u32(vmaxq_u32(magnitudes(x.val[0]), magnitudes(x.val[1])),
                     vmaxq_u32(magnitudes(x.val[2]), magnitudes(x.val[3])));
}

std::uint32_t peak(const float* row, std::size_t width) {
    uint32x4_t most = vdupq_n_u32(0);
    for (std::size_t blocks = width / 64; blocks != 0; --blocks, row += 64) {
        const uint32x4_t low = vmaxq_u32(largest_magnitudes(row), largest_magnitudes(row + 16));
        most = vmaxq_u32(most, vmaxq_u32(low, vmaxq_u32(largest_magnitudes(row + 32), largest_magnitudes(row + 48))));
    }
    for (std::size_t fours = width % 64 / 4; fours != 0; --fours, row += 4) {
        most = vmaxq_u32(most, magnitudes(vld1q_f32(row)));
    }
    const std::uint32_t vectors = vmaxvq_u32(most);
    const std::uint32_t rest = tensor_scalar()->peak(row, width % 4);
    return rest > vectors ? rest : vectors;
}

std::uint32_t distance(const float* a, const float* b, std::size_t width) {
    uint32x4_t most[2] = {};
    std::size_t i = 0;
    for (; i + 8 <= width; i += 8) {
        for (std::size_t k = 0; k < 2; ++k) {
            const float32x4_t apart = vsubq_f32(vld1q_f32(a + i + 4 * k), vld1q_f32(b + i + 4 * k));
            most[k] = vmaxq_u32(most[k], magnitudes(apart));
        }
    }
    const std::uint32_t vectors = vmaxvq_u32(vmaxq_u32(most[0], most[1]));
    const std::uint32_t rest = tensor_scalar()->distance(a + i, b + i, width - i);
    return rest > vectors ? rest : vectors;
}

// 16 quotients by division, as the specification has it.
struct Exact {
    explicit Exact(float scale, float limit)
        : divisor(vdupq_n_f32(scale)), most(vdupq_n_f32(limit)), least(vdupq_n_f32(-limit)) {}

    int32x4_t four(const float* at) const {
        return vcvtnq_s32_f32(vminq_f32(vmaxq_f32(vdivq_f32(vld1q_f32(at), divisor), least), most));
    }
    int8x16_t operator()(const float* at) const {
        const int16x8_t low = vuzp1q_s16(vreinterpretq_s16_s32(four(at)), vreinterpretq_s16_s32(four(at + 4)));
        const int16x8_t high = vuzp1q_s16(vreinterpretq_s16_s32(four(at + 8)), vreinterpretq_s16_s32(four(at + 12)));
        return vuzp1q_s8(vreinterpretq_s8_s16(low), vreinterpretq_s8_s16(high));
    }
    bool certain() const { return true; }

    float32x4_t divisor, most, least;
};

// 16 quotients by multiplication in units of 1/65536; tensor_avx2_quantise.cpp says why none can be wrong unnoticed.
struct Fast {
    explicit Fast(float scale) : factor(vdupq_n_f32(65536.0F / scale)) {}

    uint16x8_t four(const float* at) {
        const int32x4_t units = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(at), factor));
        const uint16x8_t shifted = vreinterpretq_u16_s32(vaddq_s32(units, vdupq_n_s32(0x8001)));
        nearest = vminq_u16(nearest, shifted);
        return shifted;
    }
    int8x16_t operator()(const float* at) {
        const uint16x8_t a = four(at), b = four(at + 4), c = four(at + 8), d = four(at + 12);
        const uint8x16_t low = vreinterpretq_u8_u16(vuzp2q_u16(a, b)), high = vreinterpretq_u8_u16(vuzp2q_u16(c, d));
        return vreinterpretq_s8_u8(vuzp1q_u8(low, high));
    }
    bool certain() const {
        const uint16x8_t halves = vorrq_u16(nearest, vreinterpretq_u16_u32(vdupq_n_u32(0xffff0000U)));
        return vminvq_u16(halves) > 2;
    }

    float32x4_t factor;
    uint16x8_t nearest = vdupq_n_u16(0xffff);
};

// Writes 64 quotients as bytes; Nibbles, as 32.
struct Bytes {
    using Out = std::int8_t;
    static constexpr std::size_t size = 64;
    static constexpr float most = 127.0F;
    template <class Divide>
    static void write(Divide* divide, const float* at, std::int8_t* out) {
        for (std::size_t k = 0; k < 64; k += 16) {
            vst1q_s8(out + k, (*divide)(at + k));
        }
    }
};

struct Nibbles {
    using Out = std::uint8_t;
    static constexpr std::size_t size = 32;
    static constexpr float most = 7.0F;
    template <class Divide>
    static void write(Divide* divide, const float* at, std::uint8_t* out) {
        for (std::size_t k = 0; k < 64; k += 32) {
            const int8x16_t first = (*divide)(at + k), second = (*divide)(at + k + 16);
            const uint8x16_t even = vreinterpretq_u8_s8(vuzp1q_s8(first, second));
            const uint8x16_t odd = vreinterpretq_u8_s8(vuzp2q_s8(first, second));
            vst1q_u8(out + k / 2, vsliq_n_u8(vandq_u8(even, vdupq_n_u8(15)), odd, 4));
        }
    }
};

template <class Format, class Divide>
bool quantise_segment(Divide divide, const float* row, std::size_t width, typename Format::Out* out) {
    for (std::size_t blocks = width / 64; blocks != 0; --blocks, row += 64, out += Format::size) {
        Format::write(&divide, row, out);
    }
    return divide.certain();
}

// All values but the last width % 64; returns how many.
template <class Format>
std::size_t quantise_steps(const float* row, std::size_t width, float scale, typename Format::Out* out) {
    const std::size_t whole = width - width % 64;
    for (std::size_t i = 0; i < whole; i += kSegment) {
        const std::size_t count = whole - i < kSegment ? whole - i : kSegment;
        typename Format::Out* const to = out + i * Format::size / 64;
        if (!(scale >= kSmallestScale) || !quantise_segment<Format>(Fast(scale), row + i, count, to)) {
            quantise_segment<Format>(Exact(scale, Format::most), row + i, count, to);
        }
    }
    return whole;
}

void quantise8(const float* row, std::size_t width, float scale, std::int8_t* out) {
    const std::size_t done = scale == 0.0F ? 0 : quantise_steps<Bytes>(row, width, scale, out);
    tensor_scalar()->quantise8(row + done, width - done, scale, out + done);
}

void quantise4(const float* row, std::size_t width, float scale, std::uint8_t* out) {
    const std::size_t done = scale == 0.0F ? 0 : quantise_steps<Nibbles>(row, width, scale, out);
    tensor_scalar()->quantise4(row + done, width - done, scale, out + done / 2);
}

void widen(int8x16_t bytes, float scale, float* out) {
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), scale));
    vst1q_f32(out + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(low)), scale));
    vst1q_f32(out + 8, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), scale));
    vst1q_f32(out + 12, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(high)), scale));
}

void dequantise8(const std::int8_t* values, std::size_t width, float scale, float* out) {
    std::size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        widen(vld1q_s8(values + i), scale, out + i);
    }
    tensor_scalar()->dequantise8(values + i, width - i, scale, out + i);
}

void dequantise4(const std::uint8_t* values, std::size_t width, float scale, float* out) {
    std::size_t i = 0;
    for (; i + 32 <= width; i += 32) {
        const int8x16_t pairs = vld1q_s8(reinterpret_cast<const std::int8_t*>(values + i / 2));
        const int8x16_t even = vshrq_n_s8(vshlq_n_s8(pairs, 4), 4), odd = vshrq_n_s8(pairs, 4);
        widen(vzip1q_s8(even, odd), scale, out + i);
        widen(vzip2q_s8(even, odd), scale, out + i + 16);
    }
    tensor_scalar()->dequantise4(values + i / 2, width - i, scale, out + i);
}

std::uint8_t subtract8(const std::int8_t* values, const std::int8_t* previous, std::size_t width, std::int8_t* out) {
    uint8x16_t largest = vdupq_n_u8(0);
    std::size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        const int8x16_t a = vld1q_s8(values + i), b = vld1q_s8(previous + i);
        largest = vmaxq_u8(largest, vreinterpretq_u8_s8(vabdq_s8(a, b)));  // up to 255: no sign is lost
        vst1q_s8(out + i, vsubq_s8(a, b));
    }
    const std::uint8_t rest = tensor_scalar()->subtract8(values + i, previous + i, width - i, out + i);
    const std::uint8_t vectors = vmaxvq_u8(largest);
    const std::uint8_t most = rest > vectors ? rest : vectors;
    return most > 127 ? kNoDelta : most;
}

bool sums_fit(const std::int8_t* values, const std::int8_t* delta, std::size_t width) {
    uint8x16_t outside = vdupq_n_u8(0);
    std::size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        const int8x16_t a = vld1q_s8(values + i), b = vld1q_s8(delta + i);
        const int8x16_t sum = vqaddq_s8(a, b);
        outside = vorrq_u8(outside, vreinterpretq_u8_s8(veorq_s8(sum, vaddq_s8(a, b))));
        outside = vorrq_u8(outside, vceqq_s8(sum, vdupq_n_s8(-128)));
    }
    return vmaxvq_u8(outside) == 0 && tensor_scalar()->sums_fit(values + i, delta + i, width - i);
}

void add8(const std::int8_t* values, const std::int8_t* delta, std::size_t width, std::int8_t* out) {
    std::size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        vst1q_s8(out + i, vaddq_s8(vld1q_s8(values + i), vld1q_s8(delta + i)));
    }
    tensor_scalar()->add8(values + i, delta + i, width - i, out + i);
}

constexpr TensorKernels kKernels{peak,      distance, quantise8, quantise4,          dequantise8,      dequantise4,
                                 subtract8, sums_fit, add8,      multiply_lanes<16>, combine_lanes<16>};

}  // namespace

const TensorKernels* tensor_neon() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const TensorKernels* tensor_neon() { return nullptr; }
}  // namespace edge_agent

#endif
