// A stream of frames: all statistics of each in one pass over its rows, and of its difference to the one before.
#pragma once

#include <mutex>
#include <vector>

#include "vision.h"

namespace edge_agent {

// What one frame and its difference to the one before amount to.
struct VisionResult {
    double entropy = 0.0;
    double edge_density = 0.0;
    double laplacian_variance = 0.0;
    bool has_motion = false;
    double mean_absolute_difference = 0.0;
    double changed_share = 0.0;
};

// Keeps the last grey frame. Calls from several threads are served one after the other.
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
    struct alignas(64) Line {
        std::uint8_t bytes[64];
    };

    void make_room(const ImageView& image);
    std::uint8_t* kept_row(std::size_t y) { return lines_[y * lines_a_row_].bytes; }
    void keep_row(const ImageView& image, std::size_t y);
    DifferenceSums replace_rows(const ImageView& image, const TileGrid& grid, std::size_t row, float* motion_map);

    const KernelTable& kernels_;
    const std::size_t tile_;
    const std::int32_t threshold_squared_;
    const std::uint8_t change_threshold_;
    std::mutex mutex_;
    std::vector<Line> lines_;              // the last grey frame; each row begins a line
    std::vector<Line> fresh_;              // a row of tiles in grey, where they cannot be replaced while compared
    std::vector<std::uint32_t> absolute_;  // sums of |d| of the columns of a row of tiles
    std::size_t lines_a_row_ = 0;
    std::size_t width_ = 0;  // of the last frame; 0 where there is none
    std::size_t height_ = 0;
};

}  // namespace edge_agent
