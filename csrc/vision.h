// Statistics of grey pictures and of their change, composed from the kernels; knows sizes, not Python.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace edge_agent {

constexpr std::size_t kMaxSide = 65535;
constexpr std::size_t kMaxPixels = std::size_t{1} << 28;
constexpr std::size_t kMinTile = 8;
constexpr std::size_t kMaxTile = 1024;

// Tiles of `side` pixels from the top left; those at the right and bottom edge hold only the pixels that are there.
struct TileGrid {
    TileGrid(std::size_t width, std::size_t height, std::size_t side);

    std::size_t side;
    std::size_t columns;
    std::size_t rows;
};

// part / whole; 0 where whole is 0.
double share(std::uint64_t part, std::uint64_t whole);

// Pixels that have all eight neighbours.
std::uint64_t interior_pixels(std::size_t width, std::size_t height);

// Sum of the 4-neighbour Laplacian over the interior pixels.
std::int64_t laplacian_sum(const ImageView& grey);

// Edge pixels, as a share of the interior ones; 0 where there are none.
double edge_density(const EdgeSums& sums, std::size_t width, std::size_t height);

// Variance over the interior pixels, from exact sums: (n * squares - sum^2) / n^2; 0 where there are none.
double laplacian_variance(const EdgeSums& sums, std::size_t width, std::size_t height);

// floor(threshold^2), clamped to what edge_band takes; `threshold` >= 0.
std::int32_t squared_threshold(double threshold);

// Rows of `grey` are `stride` bytes apart.
void grey_image(const KernelTable& kernels, const ImageView& bgr, std::uint8_t* grey, std::ptrdiff_t stride);
void histogram_image(const KernelTable& kernels, const ImageView& grey, std::uint32_t* counts);
EdgeSums edge_image(const KernelTable& kernels, const ImageView& grey, std::int32_t threshold_squared);

// Adds the histogram of the rows of one row of tiles to `counter` or, where tiles are larger than kMaxBandTile, to
// counter->before; writes the entropy of each tile to `map`. With `edges`, adds up those of the band as edge_band does.
void entropy_band(const KernelTable& kernels, const ImageView& grey, const TileGrid& grid, std::size_t row,
                  LevelCounter* counter, float* map, std::int32_t threshold_squared, EdgeSums* edges);

// Adds the histogram of the whole picture to `counts` and writes the entropy of each tile, row by row, to `map`.
void tile_entropy_image(const KernelTable& kernels, const ImageView& grey, const TileGrid& grid, std::uint32_t* counts,
                        float* map);

// How two pictures of one size differ.
struct DifferenceSums {
    std::uint64_t absolute = 0;  // sum of |current - previous|
    std::uint64_t changed = 0;   // pixels where it is above the threshold
};

// Sums over two pictures of one size; writes the mean absolute difference of each tile to `map`.
DifferenceSums difference_image(const KernelTable& kernels, const ImageView& previous, const ImageView& current,
                                const TileGrid& grid, std::uint8_t threshold, float* map);

// The same for one row of tiles, given as two views of its rows alone.
DifferenceSums difference_band(const KernelTable& kernels, const ImageView& previous, const ImageView& current,
                               const TileGrid& grid, std::uint8_t threshold, float* map);

// Means of one row of tiles from the sums of each 8 columns, whose tiles have a side that is a multiple of 8 or are one
// alone. Returns the sum of all.
std::uint64_t difference_map_row(const std::uint32_t* absolute, std::size_t width, std::size_t height,
                                 const TileGrid& grid, float* map);

}  // namespace edge_agent
