// The kernels of pictures: what each computes, on which shapes. vision_scalar.cpp is their specification: all results
// are the same bit for bit on every instruction set. See kernels.h for what a kernel may do.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edge_agent {

// Largest block that histogram_block and difference_block accept, in pixels. Lanes of 32 bits cannot overflow below it.
constexpr std::size_t kMaxBlockPixels = std::size_t{1} << 20;

// Sums over the interior pixels of one or more rows.
struct EdgeSums {
    std::uint64_t edges = 0;              // pixels whose squared Sobel magnitude is above the threshold
    std::int64_t laplacian = 0;           // sum of the 4-neighbour Laplacian
    std::uint64_t laplacian_squared = 0;  // sum of its square
};

// Sums over the pixels of one block of two pictures.
struct DifferenceSums {
    std::uint64_t absolute = 0;  // sum of |current - previous|
    std::uint64_t changed = 0;   // pixels where it is above the threshold
};

struct VisionKernels {
    // grey[i] = (29 B + 150 G + 77 R + 128) >> 8 of `pixels` packed BGR pixels.
    void (*grey_row)(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels);

    // Adds the block of width x height pixels (at most kMaxBlockPixels) to counts[256].
    void (*histogram_block)(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                            std::uint32_t* counts);

    // Adds the sums of the width - 2 interior pixels of the row `here` (width >= 3, threshold_squared >= 0).
    void (*edge_row)(const std::uint8_t* above, const std::uint8_t* here, const std::uint8_t* below, std::size_t width,
                     std::int32_t threshold_squared, EdgeSums* sums);

    // Adds the sums of one block of at most kMaxBlockPixels; a pixel has changed where |a - b| > threshold.
    void (*difference_block)(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b,
                             std::ptrdiff_t b_stride, std::size_t width, std::size_t height, std::uint8_t threshold,
                             DifferenceSums* sums);
};

// One per file; nullptr where the file was compiled for another architecture.
const VisionKernels* vision_scalar();
const VisionKernels* vision_avx2();
const VisionKernels* vision_neon();

}  // namespace edge_agent
