// Statistics of grey pictures and of their change, composed from the kernels; knows sizes and state, not Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels.h"

namespace edge_agent {

constexpr std::size_t kMaxSide = 65535;
constexpr std::size_t kMaxPixels = std::size_t{1} << 28;
constexpr std::size_t kMinTile = 8;
constexpr std::size_t kMaxTile = 1024;

// A picture that somebody else owns: `channels` 1 (grey) or 3 (BGR) bytes a pixel, rows `stride` bytes apart.
struct ImageView {
    const std::uint8_t* data;
    std::ptrdiff_t stride;
    std::size_t width;
    std::size_t height;
    std::size_t channels;

    const std::uint8_t* row(std::size_t y) const { return data + static_cast<std::ptrdiff_t>(y) * stride; }
};

// Tiles of `side` pixels from the top left; those at the right and bottom edge hold only the pixels that are there.
struct TileGrid {
    TileGrid(std::size_t width, std::size_t height, std::size_t side);

    std::size_t side;
    std::size_t columns;
    std::size_t rows;
};

// -sum p log2 p of 256 counts that add up to `total`, in bits; 0 where total is 0. One code path for every instruction
// set.
double entropy_bits(const std::uint32_t* counts, std::uint64_t total);

// part / whole; 0 where whole is 0.
double share(std::uint64_t part, std::uint64_t whole);

// Pixels that have all eight neighbours.
std::uint64_t interior_pixels(std::size_t width, std::size_t height);

// Edge pixels, as a share of the interior ones; 0 where there are none.
double edge_density(const EdgeSums& sums, std::size_t width, std::size_t height);

// Variance over the interior pixels, from exact sums: (n * squares - sum^2) / n^2; 0 where there are none.
double laplacian_variance(const EdgeSums& sums, std::size_t width, std::size_t height);

// floor(threshold^2), clamped to what edge_row takes; `threshold` >= 0.
std::int32_t squared_threshold(double threshold);

void grey_image(const KernelTable& kernels, const ImageView& bgr, std::uint8_t* grey);
void histogram_image(const KernelTable& kernels, const ImageView& grey, std::uint32_t* counts);
EdgeSums edge_image(const KernelTable& kernels, const ImageView& grey, std::int32_t threshold_squared);

// Adds the histogram of the whole picture to `counts` and writes the entropy of each tile, row by row, to `map`.
void tile_entropy_image(const KernelTable& kernels, const ImageView& grey, const TileGrid& grid, std::uint32_t* counts,
                        float* map);

// Sums over two pictures of one size; writes the mean absolute difference of each tile to `map`.
DifferenceSums difference_image(const KernelTable& kernels, const ImageView& previous, const ImageView& current,
                                const TileGrid& grid, std::uint8_t threshold, float* map);

// What one frame and its difference to the one before amount to.
struct VisionResult {
    double entropy = 0.0;
    double edge_density = 0.0;
    double laplacian_variance = 0.0;
    bool has_motion = false;
    double mean_absolute_difference = 0.0;
    double changed_share = 0.0;
};

// A stream of frames; keeps the last grey frame. Calls from several threads are served one after the other.
class VisionStream {
  public:
    VisionStream(const KernelTable& kernels, std::size_t tile, std::int32_t threshold_squared,
                 std::uint8_t change_threshold);

    // All statistics of one frame. `entropy_map` and `motion_map` hold one float a tile; motion_map is all 0 where
    // there is no frame before (the first one, or one of another size).
    VisionResult analyze(const ImageView& image, float* entropy_map, float* motion_map);

    // Forgets the last frame.
    void reset();

    const KernelTable& kernels() const { return kernels_; }
    std::size_t tile() const { return tile_; }

  private:
    const KernelTable& kernels_;
    const std::size_t tile_;
    const std::int32_t threshold_squared_;
    const std::uint8_t change_threshold_;
    std::mutex mutex_;
    std::vector<std::uint8_t> previous_;
    std::vector<std::uint8_t> current_;
    std::size_t previous_width_ = 0;
    std::size_t previous_height_ = 0;
};

}  // namespace edge_agent
