// Statistics of grey pictures and of their change, composed from the kernels.vision.

#include "vision.h"

#include <algorithm>
#include <cmath>

#include "entropy.h"

namespace edge_agent {
TileGrid::TileGrid(std::size_t width, std::size_t height, std::size_t tile_side)
    : side(tile_side), columns((width + tile_side - 1) / tile_side), rows((height + tile_side - 1) / tile_side) {}

double share(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::uint64_t interior_pixels(std::size_t width, std::size_t height) {
    return width < 3 || height < 3 ? 0 : static_cast<std::uint64_t>(width - 2) * (height - 2);
}

// The differences to the neighbours cancel within the picture: what remains is the step from the border to the row or
// column next to it.
std::int64_t laplacian_sum(const ImageView& grey) {
    if (interior_pixels(grey.width, grey.height) == 0) {
        return 0;
    }
    const std::size_t right = grey.width - 1, bottom = grey.height - 1;
    const std::uint8_t *first = grey.row(0), *second = grey.row(1);
    const std::uint8_t *last = grey.row(bottom), *before_last = grey.row(bottom - 1);
    std::int64_t sum = 0;
    for (std::size_t x = 1; x < right; ++x) {
        sum += first[x] - second[x] + last[x] - before_last[x];
    }
    for (std::size_t y = 1; y < bottom; ++y) {
        const std::uint8_t* const row = grey.row(y);
        sum += row[0] - row[1] + row[right] - row[right - 1];
    }
    return sum;
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

void grey_image(const KernelTable& kernels, const ImageView& bgr, std::uint8_t* grey, std::ptrdiff_t stride) {
    for (std::size_t y = 0; y < bgr.height; ++y) {
        kernels.vision.grey_row(bgr.row(y), grey + static_cast<std::ptrdiff_t>(y) * stride, bgr.width);
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
    if (interior_pixels(grey.width, grey.height) != 0) {
        kernels.vision.edge_band(grey, 0, grey.height, threshold_squared, &sums);
        sums.laplacian = laplacian_sum(grey);
    }
    return sums;
}

void entropy_band(const KernelTable& kernels, const ImageView& grey, const TileGrid& grid, std::size_t row,
                  LevelCounter* counter, float* map, std::int32_t threshold_squared, EdgeSums* edges) {
    const std::size_t top = row * grid.side;
    const std::size_t height = std::min(grid.side, grey.height - top);
    if (interior_pixels(grey.width, grey.height) == 0) {
        edges = nullptr;
    }
    if (grid.side <= kMaxBandTile) {
        std::uint64_t log_sums[(kMaxSide + kMinTile - 1) / kMinTile];
        kernels.vision.tile_band(grey, top, top + height, grid.side, count_log_table(), counter, log_sums,
                                 threshold_squared, edges);
        for (std::size_t column = 0; column < grid.columns; ++column) {
            const std::size_t width = std::min(grid.side, grey.width - column * grid.side);
            map[column] = static_cast<float>(entropy_of_log_sum(log_sums[column], width * height));
        }
        return;
    }
    for (std::size_t column = 0; column < grid.columns; ++column) {
        const std::size_t x = column * grid.side;
        const std::size_t width = std::min(grid.side, grey.width - x);
        std::uint32_t counts[256] = {};
        kernels.vision.histogram_block(grey.row(top) + x, grey.stride, width, height, counts);
        map[column] = static_cast<float>(entropy_bits(counts, width * height));
        for (std::size_t level = 0; level < 256; ++level) {
            counter->before[level] += counts[level];
        }
    }
    if (edges != nullptr) {
        kernels.vision.edge_band(grey, top, top + height, threshold_squared, edges);
    }
}

void tile_entropy_image(const KernelTable& kernels, const ImageView& grey, const TileGrid& grid, std::uint32_t* counts,
                        float* map) {
    LevelCounter counter = {};
    for (std::size_t row = 0; row < grid.rows; ++row) {
        entropy_band(kernels, grey, grid, row, &counter, map + row * grid.columns, 0, nullptr);
    }
    for (std::size_t level = 0; level < 256; ++level) {
        counts[level] += counter.before[level];
    }
}

// Tile sides of a multiple of 8 need one pass of a row of tiles; for others every tile is one.
DifferenceSums difference_band(const KernelTable& kernels, const ImageView& previous, const ImageView& current,
                               const TileGrid& grid, std::uint8_t threshold, float* map) {
    const std::size_t step = grid.side % 8 == 0 ? current.width : grid.side;
    std::uint32_t absolute[(kMaxSide + 7) / 8 * 2];
    DifferenceSums total;
    for (std::size_t x = 0; x < current.width; x += step) {
        const std::size_t width = std::min(step, current.width - x);
        std::fill_n(absolute, (width + 7) / 8 * 2, 0U);
        ColumnSums sums{absolute, 0};
        kernels.vision.difference_rows(previous.data + x, previous.stride, current.data + x, current.stride, width,
                                       current.height, threshold, &sums);
        total.absolute += difference_map_row(absolute, width, current.height, grid, map + x / grid.side);
        total.changed += sums.changed;
    }
    return total;
}

DifferenceSums difference_image(const KernelTable& kernels, const ImageView& previous, const ImageView& current,
                                const TileGrid& grid, std::uint8_t threshold, float* map) {
    DifferenceSums total;
    for (std::size_t row = 0; row < grid.rows; ++row) {
        const std::size_t top = row * grid.side;
        const std::size_t height = std::min(grid.side, current.height - top);
        const ImageView before{previous.row(top), previous.stride, previous.width, height, 1};
        const ImageView now{current.row(top), current.stride, current.width, height, 1};
        const DifferenceSums band = difference_band(kernels, before, now, grid, threshold, map + row * grid.columns);
        total.absolute += band.absolute;
        total.changed += band.changed;
    }
    return total;
}

std::uint64_t difference_map_row(const std::uint32_t* absolute, std::size_t width, std::size_t height,
                                 const TileGrid& grid, float* map) {
    std::uint64_t total = 0;
    for (std::size_t x = 0; x < width; x += grid.side) {
        const std::size_t tile_width = std::min(grid.side, width - x);
        std::uint64_t tile = 0;
        for (std::size_t i = x / 4; i < (x + tile_width + 7) / 8 * 2; ++i) {
            tile += absolute[i];
        }
        map[x / grid.side] = static_cast<float>(share(tile, tile_width * height));
        total += tile;
    }
    return total;
}

}  // namespace edge_agent
