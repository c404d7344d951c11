// What the files of the NEON picture kernels share.
#pragma once

#include "vision_kernels.h"

namespace edge_agent {

void edge_band_neon(const ImageView& grey, std::size_t top, std::size_t bottom, std::int32_t threshold_squared,
                    EdgeSums* sums);
void tile_band_neon(const ImageView& grey, std::size_t top, std::size_t bottom, std::size_t tile,
                    const std::uint64_t* log_table, LevelCounter* counter, std::uint64_t* log_sums,
                    std::int32_t threshold_squared, EdgeSums* edges);
void histogram_block_neon(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t width, std::size_t height,
                          std::uint32_t* counts);

}  // namespace edge_agent
