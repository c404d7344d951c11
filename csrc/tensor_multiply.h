// Products of matrices in vectors of any width: what the kernels `multiply` and `combine` are on every instruction set
// but scalar. Columns stand side by side in a vector and terms are added in the order of the specification, so that the
// result is the same bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensor_kernels.h"

namespace edge_agent {
namespace {

template <std::size_t kBytes>
struct FloatVector {
    typedef float Type __attribute__((vector_size(kBytes)));
};

// `kRows` rows by `kVectors` vectors of columns; `b.step` is 1.
template <std::size_t kBytes, std::size_t kRows, std::size_t kVectors>
inline void multiply_block(const Factor& a, const Factor& b, std::size_t row, std::size_t column, float* out,
                           std::size_t out_stride) {
    using Vector = typename FloatVector<kBytes>::Type;
    constexpr std::size_t kLanes = kBytes / sizeof(float);
    Vector sums[kRows][kVectors];
    for (std::size_t r = 0; r < kRows; ++r) {
        for (std::size_t v = 0; v < kVectors; ++v) {
            std::memcpy(&sums[r][v], out + (row + r) * out_stride + column + v * kLanes, kBytes);
        }
    }
    for (std::size_t depth = 0; depth < b.rows; ++depth) {
        const float* const from = b.data + depth * b.stride + column;
        Vector terms[kVectors];
        for (std::size_t v = 0; v < kVectors; ++v) {
            std::memcpy(&terms[v], from + v * kLanes, kBytes);
        }
        for (std::size_t r = 0; r < kRows; ++r) {
            const float factor = a.data[(row + r) * a.stride + depth * a.step];
            for (std::size_t v = 0; v < kVectors; ++v) {
                sums[r][v] += terms[v] * factor;
            }
        }
    }
    for (std::size_t r = 0; r < kRows; ++r) {
        for (std::size_t v = 0; v < kVectors; ++v) {
            std::memcpy(out + (row + r) * out_stride + column + v * kLanes, &sums[r][v], kBytes);
        }
    }
}

// `count` rows, at most kRows.
template <std::size_t kBytes, std::size_t kVectors, std::size_t kRows>
inline void multiply_rows(const Factor& a, const Factor& b, std::size_t row, std::size_t count, std::size_t column,
                          float* out, std::size_t out_stride) {
    if (count == kRows) {
        multiply_block<kBytes, kRows, kVectors>(a, b, row, column, out, out_stride);
    } else if constexpr (kRows > 1) {
        multiply_rows<kBytes, kVectors, kRows - 1>(a, b, row, count, column, out, out_stride);
    }
}

// As many sums at once as there are registers for: fewer would wait for one another.
template <std::size_t kBytes, std::size_t kVectors, std::size_t kRows>
inline std::size_t multiply_columns(const Factor& a, const Factor& b, std::size_t column, float* out,
                                    std::size_t out_stride) {
    constexpr std::size_t kWidth = kVectors * kBytes / sizeof(float);
    for (; column + kWidth <= b.columns; column += kWidth) {
        for (std::size_t row = 0; row < a.rows;) {
            const std::size_t left = a.rows - row;
            const std::size_t count = left <= kRows ? left : left < 2 * kRows ? (left + 1) / 2 : kRows;
            multiply_rows<kBytes, kVectors, kRows>(a, b, row, count, column, out, out_stride);
            row += count;
        }
    }
    return column;
}

template <std::size_t kBytes>
inline void multiply_lanes(const Factor& a, const Factor& b, float* out, std::size_t out_stride) {
    std::size_t column = 0;
    if (b.step == 1) {
        if (a.rows == 1) {
            column = multiply_columns<kBytes, 8, 1>(a, b, column, out, out_stride);
        }
        column = multiply_columns<kBytes, 2, 6>(a, b, column, out, out_stride);
        column = multiply_columns<kBytes, 1, 6>(a, b, column, out, out_stride);
    }
    const Factor rest{b.data + column * b.step, b.rows, b.columns - column, b.stride, b.step};
    tensor_scalar()->multiply(a, rest, out + column, out_stride);
}

// `kVectors` vectors of columns from `column` on.
template <std::size_t kBytes, std::size_t kVectors>
inline std::size_t combine_columns(const float* amounts, const std::uint32_t* rows, std::size_t count, const float* b,
                                   std::size_t width, std::size_t column, float* out) {
    using Vector = typename FloatVector<kBytes>::Type;
    constexpr std::size_t kLanes = kBytes / sizeof(float);
    for (; column + kVectors * kLanes <= width; column += kVectors * kLanes) {
        Vector sums[kVectors];
        std::memcpy(sums, out + column, sizeof sums);
        for (std::size_t i = 0; i < count; ++i) {
            const float* const from = b + rows[i] * width + column;
            for (std::size_t v = 0; v < kVectors; ++v) {
                Vector term;
                std::memcpy(&term, from + v * kLanes, kBytes);
                sums[v] += term * amounts[i];
            }
        }
        std::memcpy(out + column, sums, sizeof sums);
    }
    return column;
}

template <std::size_t kBytes>
inline void combine_lanes(const float* amounts, const std::uint32_t* rows, std::size_t count, const float* b,
                          std::size_t width, float* out) {
    std::size_t column = combine_columns<kBytes, 8>(amounts, rows, count, b, width, 0, out);
    column = combine_columns<kBytes, 1>(amounts, rows, count, b, width, column, out);
    for (; column < width; ++column) {
        float sum = out[column];
        for (std::size_t i = 0; i < count; ++i) {
            sum += amounts[i] * b[rows[i] * width + column];
        }
        out[column] = sum;
    }
}

}  // namespace
}  // namespace edge_agent
