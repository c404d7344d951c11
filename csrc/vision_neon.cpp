// The picture kernels for aarch64 with Advanced SIMD (NEON), which every 64-bit ARM has: here whole rows;
// vision_neon_band.cpp has the rest.

#include "vision_neon.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include "vision_neon_rows.h"

namespace edge_agent {
namespace {

struct PairwiseSums {
    static uint32x4_t add(uint32x4_t sums, uint8x16_t difference) { return vpadalq_u16(sums, vpaddlq_u8(difference)); }
};

using Rows = NeonRows<PairwiseSums>;
constexpr VisionKernels kKernels{grey_row_of<Rows>,        grey_difference_row_of<Rows>,
                                 difference_rows_of<Rows>, histogram_block_neon,
                                 edge_band_neon,           tile_band_neon};

}  // namespace

const VisionKernels* vision_neon() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const VisionKernels* vision_neon() { return nullptr; }
}  // namespace edge_agent

#endif
