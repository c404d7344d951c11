// The picture kernels for aarch64 with the dot product instructions (Cortex-A55, A75, A76 and later): differences of
// frames add up in one instruction instead of two. The rest is NEON's.
//
// Compiled with -march=armv8.2-a+dotprod; like the AVX2 files it shares no code with others that could run anywhere.

#include "vision_neon.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)

#include "vision_neon_rows.h"

namespace edge_agent {
namespace {

struct DotProductSums {
    static uint32x4_t add(uint32x4_t sums, uint8x16_t difference) { return vdotq_u32(sums, difference, vdupq_n_u8(1)); }
};

using Rows = NeonRows<DotProductSums>;
constexpr VisionKernels kKernels{grey_row_of<Rows>,        grey_difference_row_of<Rows>,
                                 difference_rows_of<Rows>, histogram_block_neon,
                                 edge_band_neon,           tile_band_neon};

}  // namespace

const VisionKernels* vision_neon_dotprod() { return &kKernels; }

}  // namespace edge_agent

#else

namespace edge_agent {
const VisionKernels* vision_neon_dotprod() { return nullptr; }
}  // namespace edge_agent

#endif
