// Matrices of float32 as int8 or int4 with one scale a row, and their change, composed from the kernels.

#include "tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace edge_agent {
namespace {

float from_bits(std::uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

// Throws where a value of the row is not finite.
void refuse_not_finite(const char* name, const Rows<const float>& x, std::size_t row) {
    for (std::size_t i = 0; i < x.width; ++i) {
        if (!std::isfinite(x.row(row)[i])) {
            throw std::invalid_argument(std::string(name) + "[" + std::to_string(row) + ", " + std::to_string(i) +
                                        "] is " + (std::isnan(x.row(row)[i]) ? "NaN" : "infinite") +
                                        "; nothing was written");
        }
    }
}

void check_scales(const float* scales, std::size_t rows) {
    for (std::size_t row = 0; row < rows; ++row) {
        if (!(scales[row] >= 0.0F && std::isfinite(scales[row]))) {
            throw std::invalid_argument("scales[" + std::to_string(row) +
                                        "] must be finite and not negative; nothing was written");
        }
    }
}

// The largest magnitude of each row.
std::vector<float> peaks_of(const KernelTable& kernels, const Rows<const float>& x) {
    std::vector<float> peaks(x.rows);
    for (std::size_t row = 0; row < x.rows; ++row) {
        const std::uint32_t bits = kernels.tensor.peak(x.row(row), x.width);
        if (bits > kLargestFinite) {
            refuse_not_finite("x", x, row);
        }
        peaks[row] = from_bits(bits);
    }
    return peaks;
}

template <class Value, class Kernel>
void quantise(const KernelTable& kernels, const Rows<const float>& x, const Rows<Value>& out, float* scales,
              float levels, Kernel kernel) {
    const std::vector<float> peaks = peaks_of(kernels, x);
    for (std::size_t row = 0; row < x.rows; ++row) {
        const float scale = peaks[row] / levels;
        scales[row] = scale;
        kernel(x.row(row), x.width, scale, out.row(row));
    }
}

}  // namespace

void quantise_int8(const KernelTable& kernels, const Rows<const float>& x, const Rows<std::int8_t>& out,
                   float* scales) {
    quantise(kernels, x, out, scales, 127.0F, kernels.tensor.quantise8);
}

void quantise_int4(const KernelTable& kernels, const Rows<const float>& x, const Rows<std::uint8_t>& out,
                   float* scales) {
    quantise(kernels, x, out, scales, 7.0F, kernels.tensor.quantise4);
}

void dequantise_int8(const KernelTable& kernels, const Rows<const std::int8_t>& values, const float* scales,
                     const Rows<float>& out) {
    check_scales(scales, out.rows);
    for (std::size_t row = 0; row < out.rows; ++row) {
        kernels.tensor.dequantise8(values.row(row), out.width, scales[row], out.row(row));
    }
}

void dequantise_int4(const KernelTable& kernels, const Rows<const std::uint8_t>& values, const float* scales,
                     const Rows<float>& out) {
    check_scales(scales, out.rows);
    for (std::size_t row = 0; row < out.rows; ++row) {
        kernels.tensor.dequantise4(values.row(row), out.width, scales[row], out.row(row));
    }
}

void row_changes(const KernelTable& kernels, const Rows<const float>& x, const Rows<const float>& previous,
                 float* changes) {
    std::vector<float> found(x.rows);
    for (std::size_t row = 0; row < x.rows; ++row) {
        const std::uint32_t bits = kernels.tensor.distance(x.row(row), previous.row(row), x.width);
        if (bits > kLargestFinite) {
            refuse_not_finite("x", x, row);
            refuse_not_finite("previous", previous, row);
        }
        found[row] = from_bits(bits);
    }
    std::copy(found.begin(), found.end(), changes);
}

void delta_int8(const KernelTable& kernels, const Rows<const float>& x, const Rows<const std::int8_t>& values,
                const float* scales, const Rows<std::int8_t>& out, std::uint8_t* peaks) {
    check_scales(scales, x.rows);
    const std::vector<float> largest = peaks_of(kernels, x);
    for (std::size_t row = 0; row < x.rows; ++row) {
        const float scale = scales[row];
        std::int8_t* const to = out.row(row);
        // No step at all: only zeros can be told, and they are 0 steps.
        const bool within = scale == 0.0F ? largest[row] == 0.0F : std::nearbyint(largest[row] / scale) <= 127.0F;
        peaks[row] = kNoDelta;
        if (within) {
            kernels.tensor.quantise8(x.row(row), x.width, scale, to);
            peaks[row] = kernels.tensor.subtract8(to, values.row(row), x.width, to);
        }
        if (peaks[row] == kNoDelta) {
            std::fill_n(to, x.width, std::int8_t{0});
        }
    }
}

void add_delta_int8(const KernelTable& kernels, const Rows<const std::int8_t>& values,
                    const Rows<const std::int8_t>& delta, const Rows<std::int8_t>& out) {
    for (std::size_t row = 0; row < out.rows; ++row) {
        if (!kernels.tensor.sums_fit(values.row(row), delta.row(row), out.width)) {
            throw std::invalid_argument("row " + std::to_string(row) +
                                        " leaves -127..127 with its delta; nothing was written");
        }
    }
    for (std::size_t row = 0; row < out.rows; ++row) {
        kernels.tensor.add8(values.row(row), delta.row(row), out.width, out.row(row));
    }
}

}  // namespace edge_agent
