// Statistics of grey pictures and of their change, composed from the kernels.

#include "vision.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace edge_agent {
namespace {

constexpr std::size_t kTableSize = 4097;  // counts of tiles up to 64 x 64

// c log2 c for small counts, so that a tile costs 256 look-ups and no logarithm.
const std::array<double, kTableSize>& count_logs() {
    static const std::array<double, kTableSize> table = [] {
        std::array<double, kTableSize> values{};
        for (std::size_t c = 1; c < kTableSize; ++c) {
            values[c] = static_cast<double>(c) * std::log2(static_cast<double>(c));
        }
        return values;
    }();
    return table;
}

double count_log(std::uint32_t count) {
    return count == 0 ? 0.0 : static_cast<double>(count) * std::log2(static_cast<double>(count));
}

// visit(index, x, y, width, height) of every tile, row by row.
template <class Visit>
void for_each_tile(const TileGrid& grid, std::size_t width, std::size_t height, Visit visit) {
    for (std::size_t row = 0; row < grid.rows; ++row) {
        const std::size_t y = row * grid.side;
        const std::size_t tile_height = std::min(grid.side, height - y);
        for (std::size_t column = 0; column < grid.columns; ++column) {
            const std::size_t x = column * grid.side;
            visit(row * grid.columns + column, x, y, std::min(grid.side, width - x), tile_height);
        }
    }
}

}  // namespace

TileGrid::TileGrid(std::size_t width, std::size_t height, std::size_t tile_side)
    : side(tile_side), columns((width + tile_side - 1) / tile_side), rows((height + tile_side - 1) / tile_side) {}

double entropy_bits(const std::uint32_t* counts, std::uint64_t total) {
    if (total == 0) {
        return 0.0;
    }
    double sums[4] = {};  // four chains of additions in a fixed order: fast, and the same everywhere
    const auto& table = count_logs();
    if (total < kTableSize) {
        for (std::size_t bin = 0; bin < 256; bin += 4) {
            for (std::size_t i = 0; i < 4; ++i) {
                sums[i] += table[counts[bin + i]];
            }
        }
    } else {
        for (std::size_t bin = 0; bin < 256; ++bin) {
            sums[bin % 4] += count_log(counts[bin]);
        }
    }
    // (n log n - sum c log c) / n: exactly 0 where one count is all of n.
    const double n = static_cast<double>(total);
    return std::max(0.0, (n * std::log2(n) - ((sums[0] + sums[1]) + (sums[2] + sums[3]))) / n);
}

double share(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::uint64_t interior_pixels(std::size_t width, std::size_t height) {
    return width < 3 || height < 3 ? 0 : static_cast<std::uint64_t>(width - 2) * (height - 2);
}

double edge_density(const EdgeSums& sums, std::size_t width, std::size_t height) {
    return share(sums.edges, interior_pixels(width, height));
}

double laplacian_variance(const EdgeSums& sums, std::size_t width, std::size_t height) {
    const std::uint64_t pixels = interior_pixels(width, height);
    if (pixels == 0) {
        return 0.0;
    }
    __extension__ using Wide = __int128;
    const Wide spread = Wide{static_cast<std::int64_t>(pixels)} * static_cast<std::int64_t>(sums.laplacian_squared) -
                        Wide{sums.laplacian} * sums.laplacian;
    const double n = static_cast<double>(pixels);
    return static_cast<double>(spread) / n / n;
}

std::int32_t squared_threshold(double threshold) {
    const double squared = std::floor(threshold * threshold);
    return static_cast<std::int32_t>(std::min(squared, 2147483647.0));
}

void grey_image(const KernelTable& kernels, const ImageView& bgr, std::uint8_t* grey) {
    for (std::size_t y = 0; y < bgr.height; ++y) {
        kernels.vision.grey_row(bgr.row(y), grey + y * bgr.width, bgr.width);
    }
}

void histogram_image(const KernelTable& kernels, const ImageView& grey, std::uint32_t* counts) {
    const std::size_t band = std::max<std::size_t>(1, kMaxBlockPixels / grey.width);
    for (std::size_t y = 0; y < grey.height; y += band) {
        kernels.vision.histogram_block(grey.row(y), grey.stride, grey.width, std::min(band, grey.height - y), counts);
    }
}

EdgeSums edge_image(const KernelTable& kernels, const ImageView& grey, std::int32_t threshold_squared) {
    EdgeSums sums;
    if (interior_pixels(grey.width, grey.height) == 0) {
        return sums;
    }
    for (std::size_t y = 1; y + 1 < grey.height; ++y) {
        kernels.vision.edge_row(grey.row(y - 1), grey.row(y), grey.row(y + 1), grey.width, threshold_squared, &sums);
    }
    return sums;
}

void tile_entropy_image(const KernelTable& kernels, const ImageView& grey, const TileGrid& grid, std::uint32_t* counts,
                        float* map) {
    for_each_tile(grid, grey.width, grey.height,
                  [&](std::size_t tile, std::size_t x, std::size_t y, std::size_t width, std::size_t height) {
                      std::uint32_t tile_counts[256] = {};
                      kernels.vision.histogram_block(grey.row(y) + x, grey.stride, width, height, tile_counts);
                      map[tile] = static_cast<float>(entropy_bits(tile_counts, width * height));
                      for (std::size_t bin = 0; bin < 256; ++bin) {
                          counts[bin] += tile_counts[bin];
                      }
                  });
}

DifferenceSums difference_image(const KernelTable& kernels, const ImageView& previous, const ImageView& current,
                                const TileGrid& grid, std::uint8_t threshold, float* map) {
    DifferenceSums total;
    for_each_tile(grid, current.width, current.height,
                  [&](std::size_t tile, std::size_t x, std::size_t y, std::size_t width, std::size_t height) {
                      DifferenceSums sums;
                      kernels.vision.difference_block(previous.row(y) + x, previous.stride, current.row(y) + x,
                                                      current.stride, width, height, threshold, &sums);
                      map[tile] = static_cast<float>(share(sums.absolute, width * height));
                      total.absolute += sums.absolute;
                      total.changed += sums.changed;
                  });
    return total;
}

VisionStream::VisionStream(const KernelTable& kernels, std::size_t tile, std::int32_t threshold_squared,
                           std::uint8_t change_threshold)
    : kernels_(kernels), tile_(tile), threshold_squared_(threshold_squared), change_threshold_(change_threshold) {}

VisionResult VisionStream::analyze(const ImageView& image, float* entropy_map, float* motion_map) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::size_t pixels = image.width * image.height;
    current_.resize(pixels);  // the only step that can fail; the last frame is still whole then
    if (image.channels == 3) {
        grey_image(kernels_, image, current_.data());
    } else {
        for (std::size_t y = 0; y < image.height; ++y) {
            std::memcpy(current_.data() + y * image.width, image.row(y), image.width);
        }
    }
    const auto stride = static_cast<std::ptrdiff_t>(image.width);
    const ImageView grey{current_.data(), stride, image.width, image.height, 1};
    const TileGrid grid(image.width, image.height, tile_);
    std::uint32_t counts[256] = {};
    VisionResult result;
    tile_entropy_image(kernels_, grey, grid, counts, entropy_map);
    result.entropy = entropy_bits(counts, pixels);
    const EdgeSums edges = edge_image(kernels_, grey, threshold_squared_);
    result.edge_density = edge_density(edges, image.width, image.height);
    result.laplacian_variance = laplacian_variance(edges, image.width, image.height);
    result.has_motion = previous_width_ == image.width && previous_height_ == image.height;
    if (result.has_motion) {
        const ImageView previous{previous_.data(), stride, image.width, image.height, 1};
        const DifferenceSums motion = difference_image(kernels_, previous, grey, grid, change_threshold_, motion_map);
        result.mean_absolute_difference = share(motion.absolute, pixels);
        result.changed_share = share(motion.changed, pixels);
    } else {
        std::fill_n(motion_map, grid.columns * grid.rows, 0.0F);
    }
    previous_.swap(current_);
    previous_width_ = image.width;
    previous_height_ = image.height;
    return result;
}

void VisionStream::reset() {
    const std::lock_guard<std::mutex> lock(mutex_);
    previous_width_ = 0;
    previous_height_ = 0;
    previous_ = {};
    current_ = {};
}

}  // namespace edge_agent
