// The kernels of tensors: rows of float32 as int8 or int4 with one scale a row. tensor_scalar.cpp is their
// specification: all results are the same bit for bit on every instruction set. See kernels.h for what a kernel may do.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edge_agent {

// Without its sign, a float has the order of its bits; those of infinity and NaN are above these of the largest number.
constexpr std::uint32_t kLargestFinite = 0x7f7fffff;

// What subtract8 returns where a difference is outside -127..127.
constexpr std::uint8_t kNoDelta = 255;

// A matrix of rows x columns values; those of a row lie `step` apart, rows `stride`.
struct Factor {
    const float* data;
    std::size_t rows, columns, stride, step;
};

struct TensorKernels {
    // Bits of the largest magnitude of a row; above kLargestFinite where a value is infinite or NaN.
    std::uint32_t (*peak)(const float* row, std::size_t width);

    // Bits of the largest |a[i] - b[i]|; above kLargestFinite where a value is infinite or NaN, or where one overflows.
    std::uint32_t (*distance)(const float* a, const float* b, std::size_t width);

    // out[i] = row[i] / scale, rounded to the nearest, ties to even; all 0 where scale is 0. A subnormal scale clips to
    // -127..127; with any other, no quotient may reach 127.5 in magnitude. The row is finite, scale finite and >= 0.
    void (*quantise8)(const float* row, std::size_t width, float scale, std::int8_t* out);

    // Likewise -7..7, the largest quotient below 7.5; two values a byte, the first in the low half, in two's
    // complement. `out` has (width + 1) / 2 bytes; an odd width leaves the last high half 0.
    void (*quantise4)(const float* row, std::size_t width, float scale, std::uint8_t* out);

    // out[i] = values[i] * scale.
    void (*dequantise8)(const std::int8_t* values, std::size_t width, float scale, float* out);
    void (*dequantise4)(const std::uint8_t* values, std::size_t width, float scale, float* out);

    // out[i] = values[i] - previous[i]; `out` may be `values`. Returns the largest magnitude, or kNoDelta where it is
    // above 127: what `out` holds then means nothing.
    std::uint8_t (*subtract8)(const std::int8_t* values, const std::int8_t* previous, std::size_t width,
                              std::int8_t* out);

    // Whether all values[i] + delta[i] are in -127..127.
    bool (*sums_fit)(const std::int8_t* values, const std::int8_t* delta, std::size_t width);

    // out[i] = values[i] + delta[i], where they fit.
    void (*add8)(const std::int8_t* values, const std::int8_t* delta, std::size_t width, std::int8_t* out);

    // out[r, c] += sum over d of a[r, d] * b[d, c], d from 0 on, each product rounded before it is added.
    void (*multiply)(const Factor& a, const Factor& b, float* out, std::size_t out_stride);

    // out[c] += sum over i of amounts[i] * row rows[i] of b[c], likewise; b is packed rows of `width`.
    void (*combine)(const float* amounts, const std::uint32_t* rows, std::size_t count, const float* b,
                    std::size_t width, float* out);
};

// One per file; nullptr where the file was compiled for another architecture.
const TensorKernels* tensor_scalar();
const TensorKernels* tensor_avx2();
const TensorKernels* tensor_neon();

}  // namespace edge_agent
