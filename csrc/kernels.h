// The table of SIMD kernels: what each computes, on which shapes, and how one instruction set is chosen.
//
// A kernel is a pure function on raw memory. It never allocates, throws or locks; its caller has checked every size.
// All integer results are the same bit for bit on every instruction set; kernels_scalar.cpp is their specification.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace edge_agent {

// Largest block that histogram_block and difference_block accept, in pixels. Lanes of 32 bits cannot overflow below it.
constexpr std::size_t kMaxBlockPixels = std::size_t{1} << 20;

// Largest number of STFT frames that one call of sound_frames takes, on any instruction set.
constexpr std::size_t kMaxLanes = 8;

// Powers below this (of a spectrum in which a full-scale sine has magnitude 1) count as this: -120 dB.
constexpr float kPowerFloor = 1e-12F;

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

// Constant tables of one STFT size; made once by sound.cpp, read by every instruction set.
struct SoundPlan {
    std::size_t window = 0;                       // N, a power of two from 32 to 8192
    const float* weights = nullptr;               // [N] Hann window over its own sum
    const std::uint32_t* bit_reversal = nullptr;  // [N/2]
    const float* twiddles = nullptr;              // radix-4 passes in order: cos and sin of k, 2k, 3k for each k
    const float* split_twiddles = nullptr;        // [N/4] pairs (cos, sin) of 2 pi k / N
};

// What one STFT frame sums to; sound.cpp turns it into features by one shared path. Each array is [kMaxLanes].
struct SoundSums {
    float power[kMaxLanes];        // sum over the N/2+1 bins of P = |X|^2
    float floored[kMaxLanes];      // sum of Q = max(P, kPowerFloor)
    float log_floored[kMaxLanes];  // sum of ln Q
    float floored_log[kMaxLanes];  // sum of Q ln Q
    float flux[kMaxLanes];         // sum of max(0, |X| - |X of the frame before|)
    float energy[kMaxLanes];       // sum of (weight * sample)^2
    float crossings[kMaxLanes];    // neighbours in the frame of which one is below zero and the other is not
};

struct KernelTable {
    const char* name;

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

    // Frames that sound_frames computes at once, 1 to kMaxLanes.
    std::size_t sound_lanes;

    // `count` (1..sound_lanes) STFT frames, the f-th starting at samples + f * hop; lane f of `sums` is written for
    // f < count. `previous` [N/2+1] holds the magnitudes of the frame before and receives those of the last one.
    // `work` is 64-byte aligned, sound_lanes * N floats.
    void (*sound_frames)(const SoundPlan& plan, const float* samples, std::size_t hop, std::size_t count, float* work,
                         float* previous, SoundSums* sums);
};

// One per file; nullptr where the file was compiled for another architecture.
const KernelTable* scalar_kernels();
const KernelTable* avx2_kernels();
const KernelTable* neon_kernels();

// The instruction sets that this machine can run, slowest first; "scalar" is always there.
std::vector<const KernelTable*> available_kernels();

// The table of that name. Throws std::invalid_argument, naming the available ones, where this machine has none.
const KernelTable& kernels_named(const std::string& name);

// The table in use: the one that EDGE_AGENT_ISA names, else the fastest. Chosen at the first call that succeeds.
const KernelTable& active_kernels();

// Names of the CPU features that matter to this library and that this machine has, e.g. "avx2", "asimddp".
std::vector<std::string> cpu_features();

}  // namespace edge_agent
