// Matrices of float32 as int8 or int4 with one scale a row, and their change; knows sizes and refusals, not Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.h"

namespace edge_agent {

constexpr std::size_t kMaxTensorValues = std::size_t{1} << 31;

// Rows of `width` values that somebody else owns, `stride` values apart.
template <class Value>
struct Rows {
    Value* data;
    std::ptrdiff_t stride;
    std::size_t rows;
    std::size_t width;

    Value* row(std::size_t index) const { return data + static_cast<std::ptrdiff_t>(index) * stride; }
};

// Every function here throws std::invalid_argument, naming the place, before it writes anything, where a value is NaN
// or infinite or a scale is not finite and >= 0. Shapes are the caller's to check.

// scales[r] = largest magnitude of row r / 127; out = x / scale, to the nearest, ties to even; zeros for a row of
// zeros.
void quantise_int8(const KernelTable& kernels, const Rows<const float>& x, const Rows<std::int8_t>& out, float* scales);

// Likewise with / 7 and -7..7, two values a byte; `out` is (width + 1) / 2 wide.
void quantise_int4(const KernelTable& kernels, const Rows<const float>& x, const Rows<std::uint8_t>& out,
                   float* scales);

// out = value * scale of its row; what overflows is infinite.
void dequantise_int8(const KernelTable& kernels, const Rows<const std::int8_t>& values, const float* scales,
                     const Rows<float>& out);
void dequantise_int4(const KernelTable& kernels, const Rows<const std::uint8_t>& values, const float* scales,
                     const Rows<float>& out);

// changes[r] = largest |x - previous| of row r; infinite where a difference overflows.
void row_changes(const KernelTable& kernels, const Rows<const float>& x, const Rows<const float>& previous,
                 float* changes);

// The rows of x in the steps of a quantised tensor before it: out = rint(x / scale) - values, so that values + out is
// off by half a step and nothing drifts. peaks[r] is the largest |out| of row r: 0 where it did not change. A row that
// leaves -127..127, or differs by more than 127, cannot be told so: its peak is kNoDelta and its differences are 0.
void delta_int8(const KernelTable& kernels, const Rows<const float>& x, const Rows<const std::int8_t>& values,
                const float* scales, const Rows<std::int8_t>& out, std::uint8_t* peaks);

// out = values + delta. Refuses a sum outside -127..127.
void add_delta_int8(const KernelTable& kernels, const Rows<const std::int8_t>& values,
                    const Rows<const std::int8_t>& delta, const Rows<std::int8_t>& out);

}  // namespace edge_agent
