// The specification: every kernel in plain C++, one pixel or one frame at a time.

#include <cmath>
#include <cstring>

#include "fft.h"
#include "kernels.h"

namespace edge_agent {
namespace {

void grey_row(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    for (std::size_t i = 0; i < pixels; ++i) {
        const unsigned weighted = 29U * bgr[3 * i] + 150U * bgr[3 * i + 1] + 77U * bgr[3 * i + 2];
        grey[i] = static_cast<std::uint8_t>((weighted + 128U) >> 8);
    }
}

void histogram_block(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                     std::uint32_t* counts) {
    for (std::size_t y = 0; y < height; ++y, pixels += stride) {
        for (std::size_t x = 0; x < width; ++x) {
            ++counts[pixels[x]];
        }
    }
}

void edge_row(const std::uint8_t* above, const std::uint8_t* here, const std::uint8_t* below, std::size_t width,
              std::int32_t threshold_squared, EdgeSums* sums) {
    for (std::size_t x = 1; x + 1 < width; ++x) {
        const int gx = (above[x + 1] - above[x - 1]) + 2 * (here[x + 1] - here[x - 1]) + (below[x + 1] - below[x - 1]);
        const int gy = (below[x - 1] + 2 * below[x] + below[x + 1]) - (above[x - 1] + 2 * above[x] + above[x + 1]);
        const int laplacian = above[x] + below[x] + here[x - 1] + here[x + 1] - 4 * here[x];
        sums->edges += gx * gx + gy * gy > threshold_squared ? 1 : 0;
        sums->laplacian += laplacian;
        sums->laplacian_squared += static_cast<std::uint64_t>(laplacian * laplacian);
    }
}

void difference_block(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b, std::ptrdiff_t b_stride,
                      std::size_t width, std::size_t height, std::uint8_t threshold, DifferenceSums* sums) {
    for (std::size_t y = 0; y < height; ++y, a += a_stride, b += b_stride) {
        for (std::size_t x = 0; x < width; ++x) {
            const int difference = a[x] > b[x] ? a[x] - b[x] : b[x] - a[x];
            sums->absolute += static_cast<std::uint64_t>(difference);
            sums->changed += difference > threshold ? 1 : 0;
        }
    }
}

// A vector of one lane.
struct One {
    using Reg = float;
    static constexpr std::size_t lanes = 1;
    static Reg load(const float* at) { return *at; }
    static void store(float* at, Reg x) { *at = x; }
    static Reg broadcast(const float* at) { return *at; }
    static Reg set(float x) { return x; }
    static Reg add(Reg a, Reg b) { return a + b; }
    static Reg sub(Reg a, Reg b) { return a - b; }
    static Reg mul(Reg a, Reg b) { return a * b; }
    static Reg div(Reg a, Reg b) { return a / b; }
    static Reg max(Reg a, Reg b) { return a > b ? a : b; }
    static Reg sqrt(Reg a) { return std::sqrt(a); }
    static Reg sign_change(Reg a, Reg b) { return (a < 0.0F) != (b < 0.0F) ? 1.0F : 0.0F; }
    static Reg shift_in(Reg, const float* first) { return *first; }
    static void load_transposed(const float* const* rows, Reg* out) { *out = *rows[0]; }

    // x = mantissa * 2^exponent with the mantissa in [sqrt(1/2), sqrt(2)); 0x3f3504f3 are the bits of sqrt(1/2).
    static void log_parts(Reg x, Reg* mantissa, Reg* exponent) {
        std::int32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        bits -= 0x3f3504f3;
        *exponent = static_cast<float>(bits >> 23);
        bits = (bits & 0x007fffff) + 0x3f3504f3;
        std::memcpy(mantissa, &bits, sizeof bits);
    }
};

constexpr KernelTable kTable{"scalar",         grey_row,   histogram_block,        edge_row,
                             difference_block, One::lanes, sound_frames_lanes<One>};

}  // namespace

const KernelTable* scalar_kernels() { return &kTable; }

}  // namespace edge_agent
