// The kernels of pictures: what each computes, on which shapes. vision_scalar.cpp is their specification: all results
// are the same bit for bit on every instruction set. See kernels.h for what a kernel may do.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edge_agent {

// Largest block that histogram_block accepts, in pixels, and difference_rows, in rows: sums of 32 bits cannot overflow.
constexpr std::size_t kMaxBlockPixels = std::size_t{1} << 20;

// Largest side of a tile that tile_band accepts: counts up to 64 x 64 have their logarithm in a table.
constexpr std::size_t kMaxBandTile = 64;

// A picture that somebody else owns: `channels` 1 (grey) or 3 (BGR) bytes a pixel, rows `stride` bytes apart.
struct ImageView {
    const std::uint8_t* data;
    std::ptrdiff_t stride;
    std::size_t width;
    std::size_t height;
    std::size_t channels;

    const std::uint8_t* row(std::size_t y) const { return data + static_cast<std::ptrdiff_t>(y) * stride; }
};

// Sums over the interior pixels of one or more rows.
struct EdgeSums {
    std::uint64_t edges = 0;              // pixels whose squared Sobel magnitude is above the threshold
    std::int64_t laplacian = 0;           // sum of the 4-neighbour Laplacian; no kernel adds to it
    std::uint64_t laplacian_squared = 0;  // sum of its square
};

// Grey levels counted since the start of a picture. Several tables, so that a run of equal pixels does not wait for its
// own last store; never cleared between tiles: what a tile adds is what was not there before.
struct LevelCounter {
    alignas(64) std::uint32_t tables[4][256];
    alignas(64) std::uint32_t before[256];  // sum of the tables after the last complete tile
};

// How rows of two pictures differ.
struct ColumnSums {
    std::uint32_t* absolute;  // two for each 8 columns, that sum up |current - previous| between them
    std::uint64_t changed;    // adds the pixels where it is above the threshold
};

struct VisionKernels {
    // grey[i] = (29 B + 150 G + 77 R + 128) >> 8 of `pixels` packed BGR pixels.
    void (*grey_row)(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels);

    // Turns a BGR row into grey in the place of the same row of the frame before, and adds up how they differ.
    void (*grey_difference_row)(const std::uint8_t* bgr, std::uint8_t* kept, std::size_t width, std::uint8_t threshold,
                                ColumnSums* sums);

    // Adds up how a block of at most kMaxBlockPixels rows differs; a pixel has changed where |a - b| > threshold.
    void (*difference_rows)(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b,
                            std::ptrdiff_t b_stride, std::size_t width, std::size_t height, std::uint8_t threshold,
                            ColumnSums* sums);

    // Adds the block of width x height pixels (at most kMaxBlockPixels) to counts[256].
    void (*histogram_block)(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                            std::uint32_t* counts);

    // Adds the interior pixels whose lower neighbour lies in the rows from `top` to `bottom`: the rows top - 1 to
    // bottom - 2. Needs a picture of at least 3 x 3 and threshold_squared >= 0; `bottom` >= 3.
    void (*edge_band)(const ImageView& grey, std::size_t top, std::size_t bottom, std::int32_t threshold_squared,
                      EdgeSums* sums);

    // Counts the levels of the rows from `top` to `bottom`, `tile` columns (8 to kMaxBandTile) at a time, and writes
    // the sum of log_table[count] over the levels of each such tile to log_sums. With `edges`, does edge_band as well.
    void (*tile_band)(const ImageView& grey, std::size_t top, std::size_t bottom, std::size_t tile,
                      const std::uint64_t* log_table, LevelCounter* counter, std::uint64_t* log_sums,
                      std::int32_t threshold_squared, EdgeSums* edges);
};

// One per file; nullptr where the file was compiled for another architecture.
const VisionKernels* vision_scalar();
const VisionKernels* vision_avx2();
const VisionKernels* vision_neon();
const VisionKernels* vision_neon_dotprod();

}  // namespace edge_agent
