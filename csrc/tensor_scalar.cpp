// The specification of the tensor kernels: plain C++, one value at a time.

#include "tensor_kernels.h"

namespace edge_agent {
namespace {

std::uint32_t magnitude_bits(float x) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffU;
}

std::uint32_t peak(const float* row, std::size_t width) {
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < width; ++i) {
        const std::uint32_t bits = magnitude_bits(row[i]);
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

std::uint32_t distance(const float* a, const float* b, std::size_t width) {
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < width; ++i) {
        const std::uint32_t bits = magnitude_bits(a[i] - b[i]);
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

// x / scale to the nearest integer, ties to even, within +-most: above 2^22 a float has no room for a fraction, so
// adding 1.5 * 2^23 rounds as every IEEE addition does.
int rounded(float x, float scale, float most) {
    if (scale == 0.0F) {
        return 0;
    }
    const float quotient = x / scale;
    const float above = quotient < -most ? -most : quotient;
    const float within = above > most ? most : above;
    return static_cast<int>((within + 12582912.0F) - 12582912.0F);
}

void quantise8(const float* row, std::size_t width, float scale, std::int8_t* out) {
    for (std::size_t i = 0; i < width; ++i) {
        out[i] = static_cast<std::int8_t>(rounded(row[i], scale, 127.0F));
    }
}

void quantise4(const float* row, std::size_t width, float scale, std::uint8_t* out) {
    for (std::size_t i = 0; i < width; i += 2) {
        const int low = rounded(row[i], scale, 7.0F);
        const int high = i + 1 < width ? rounded(row[i + 1], scale, 7.0F) : 0;
        out[i / 2] = static_cast<std::uint8_t>((low & 15) | (high & 15) << 4);
    }
}

void dequantise8(const std::int8_t* values, std::size_t width, float scale, float* out) {
    for (std::size_t i = 0; i < width; ++i) {
        out[i] = static_cast<float>(values[i]) * scale;
    }
}

void dequantise4(const std::uint8_t* values, std::size_t width, float scale, float* out) {
    for (std::size_t i = 0; i < width; ++i) {
        const int half = values[i / 2] >> (i % 2 * 4) & 15;
        out[i] = static_cast<float>(half - (half & 8) * 2) * scale;
    }
}

std::uint8_t subtract8(const std::int8_t* values, const std::int8_t* previous, std::size_t width, std::int8_t* out) {
    int largest = 0;
    for (std::size_t i = 0; i < width; ++i) {
        const int difference = values[i] - previous[i];
        const int magnitude = difference < 0 ? -difference : difference;
        largest = magnitude > largest ? magnitude : largest;
        out[i] = static_cast<std::int8_t>(difference);
    }
    return largest > 127 ? kNoDelta : static_cast<std::uint8_t>(largest);
}

bool sums_fit(const std::int8_t* values, const std::int8_t* delta, std::size_t width) {
    int outside = 0;
    for (std::size_t i = 0; i < width; ++i) {
        const int sum = values[i] + delta[i];
        outside |= sum < -127 || sum > 127 ? 1 : 0;
    }
    return outside == 0;
}

void add8(const std::int8_t* values, const std::int8_t* delta, std::size_t width, std::int8_t* out) {
    for (std::size_t i = 0; i < width; ++i) {
        out[i] = static_cast<std::int8_t>(values[i] + delta[i]);
    }
}

void multiply(const Factor& a, const Factor& b, float* out, std::size_t out_stride) {
    for (std::size_t row = 0; row < a.rows; ++row) {
        for (std::size_t column = 0; column < b.columns; ++column) {
            float sum = out[row * out_stride + column];
            for (std::size_t depth = 0; depth < b.rows; ++depth) {
                sum += a.data[row * a.stride + depth * a.step] * b.data[depth * b.stride + column * b.step];
            }
            out[row * out_stride + column] = sum;
        }
    }
}

void combine(const float* amounts, const std::uint32_t* rows, std::size_t count, const float* b, std::size_t width,
             float* out) {
    for (std::size_t column = 0; column < width; ++column) {
        float sum = out[column];
        for (std::size_t i = 0; i < count; ++i) {
            sum += amounts[i] * b[rows[i] * width + column];
        }
        out[column] = sum;
    }
}

constexpr TensorKernels kKernels{peak,      distance, quantise8, quantise4, dequantise8, dequantise4,
                                 subtract8, sums_fit, add8,      multiply,  combine};

}  // namespace

const TensorKernels* tensor_scalar() { return &kKernels; }

}  // namespace edge_agent
