// The specification of the picture kernels: plain C++, one pixel at a time.

#include "vision_kernels.h"

namespace edge_agent {
namespace {

std::uint8_t grey_of(const std::uint8_t* bgr) {
    return static_cast<std::uint8_t>((29U * bgr[0] + 150U * bgr[1] + 77U * bgr[2] + 128U) >> 8);
}

void grey_row(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    for (std::size_t i = 0; i < pixels; ++i) {
        grey[i] = grey_of(bgr + 3 * i);
    }
}

void add_difference(std::uint8_t a, std::uint8_t b, std::size_t x, std::uint8_t threshold, ColumnSums* sums) {
    const int difference = a > b ? a - b : b - a;
    sums->absolute[x / 4] += static_cast<std::uint32_t>(difference);
    sums->changed += difference > threshold ? 1 : 0;
}

void grey_difference_row(const std::uint8_t* bgr, std::uint8_t* kept, std::size_t width, std::uint8_t threshold,
                         ColumnSums* sums) {
    for (std::size_t x = 0; x < width; ++x) {
        const std::uint8_t now = grey_of(bgr + 3 * x);
        add_difference(now, kept[x], x, threshold, sums);
        kept[x] = now;
    }
}

void difference_rows(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b, std::ptrdiff_t b_stride,
                     std::size_t width, std::size_t height, std::uint8_t threshold, ColumnSums* sums) {
    for (std::size_t y = 0; y < height; ++y, a += a_stride, b += b_stride) {
        for (std::size_t x = 0; x < width; ++x) {
            add_difference(a[x], b[x], x, threshold, sums);
        }
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

void add_edges(const std::uint8_t* above, const std::uint8_t* here, const std::uint8_t* below, std::size_t width,
               std::int32_t threshold_squared, EdgeSums* sums) {
    for (std::size_t x = 1; x + 1 < width; ++x) {
        const int gx = (above[x + 1] - above[x - 1]) + 2 * (here[x + 1] - here[x - 1]) + (below[x + 1] - below[x - 1]);
        const int gy = (below[x - 1] + 2 * below[x] + below[x + 1]) - (above[x - 1] + 2 * above[x] + above[x + 1]);
        const int laplacian = above[x] + below[x] + here[x - 1] + here[x + 1] - 4 * here[x];
        sums->edges += gx * gx + gy * gy > threshold_squared ? 1 : 0;
        sums->laplacian_squared += static_cast<std::uint64_t>(laplacian * laplacian);
    }
}

void edge_band(const ImageView& grey, std::size_t top, std::size_t bottom, std::int32_t threshold_squared,
               EdgeSums* sums) {
    for (std::size_t y = top < 2 ? 2 : top; y < bottom; ++y) {
        add_edges(grey.row(y - 2), grey.row(y - 1), grey.row(y), grey.width, threshold_squared, sums);
    }
}

void tile_band(const ImageView& grey, std::size_t top, std::size_t bottom, std::size_t tile,
               const std::uint64_t* log_table, LevelCounter* counter, std::uint64_t* log_sums,
               std::int32_t threshold_squared, EdgeSums* edges) {
    std::uint32_t* const counts = counter->tables[0];
    for (std::size_t x = 0; x < grey.width; x += tile, ++log_sums) {
        const std::size_t width = grey.width - x < tile ? grey.width - x : tile;
        histogram_block(grey.row(top) + x, grey.stride, width, bottom - top, counts);
        *log_sums = 0;
        for (std::size_t level = 0; level < 256; ++level) {
            *log_sums += log_table[counts[level] - counter->before[level]];
            counter->before[level] = counts[level];
        }
    }
    if (edges != nullptr) {
        edge_band(grey, top, bottom, threshold_squared, edges);
    }
}

constexpr VisionKernels kKernels{grey_row, grey_difference_row, difference_rows, histogram_block, edge_band, tile_band};

}  // namespace

const VisionKernels* vision_scalar() { return &kKernels; }

}  // namespace edge_agent
