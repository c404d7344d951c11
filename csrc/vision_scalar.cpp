// The specification of the picture kernels: plain C++, one pixel at a time.

#include "vision_kernels.h"

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

constexpr VisionKernels kKernels{grey_row, histogram_block, edge_row, difference_block};

}  // namespace

const VisionKernels* vision_scalar() { return &kKernels; }

}  // namespace edge_agent
