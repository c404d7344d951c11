// The kernels of sound: what each computes, on which shapes. sound_scalar.cpp is their specification. See kernels.h for
// what a kernel may do.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lanes.h"

namespace edge_agent {

// Powers below this (of a spectrum in which a full-scale sine has magnitude 1) count as this: -120 dB.
constexpr float kPowerFloor = 1e-12F;

// Samples beyond this magnitude are refused, as NaN and infinity are: nothing computed from them can overflow.
constexpr float kMaxSample = 1048576.0F;

// Constant tables of one STFT size; made once by sound.cpp, read by every instruction set. Angles are pairs (cos, sin).
struct SoundPlan {
    std::size_t window = 0;                    // N, a power of two from 32 to 8192
    std::size_t rows = 0;                      // N / 16: fft.h has the half-size FFT as rows of eight points
    std::size_t first_radix = 0;               // 2, 4 or 8; rows is first_radix times a power of four
    const float* weights = nullptr;            // [N] Hann window over its own sum
    const std::uint32_t* row_order = nullptr;  // [rows / first_radix] digits reversed in base four
    const float* row_angles = nullptr;         // radix-4 passes in order: 2 pi / (4 done) times k, 2k, 3k for each k
    const float* column_angles = nullptr;      // [rows / 8][7][2][8] 2 pi 2 / N times column 1..7 times row
    const float* split_angles = nullptr;       // [N/4 / 8][2][8] 2 pi k / N

    // Floats that the rows need, and each of the real and the imaginary part of the result.
    std::size_t work_floats() const { return 2 * kLanes * (rows < kLanes ? kLanes : rows); }
    std::size_t spectrum_floats() const { return window / 2 + 2 * kLanes; }
};

// What one STFT frame sums to; sound.cpp turns it into features by one shared path.
struct SoundSums {
    float power;             // sum over the N/2+1 bins of P = |X|^2
    float edge_power;        // P of the first and the last bin
    float floored;           // sum of Q = max(P, kPowerFloor)
    float log_floored;       // sum of log2 Q
    float floored_log;       // sum of Q log2 Q
    float flux;              // sum of max(0, |X| - |X of the frame before|)
    std::int32_t crossings;  // neighbours in the frame of which one is below zero and the other is not
};

struct SoundKernels {
    // `count` STFT frames, the f-th starting at samples + f * hop; `sums` is [count]. No sample is -0.0. `previous`
    // [N/2 + 8] holds the magnitudes of the frame before and receives those of the last one. `work` is 64-byte aligned,
    // plan.work_floats() + 2 plan.spectrum_floats(), and once set to zero.
    void (*frames)(const SoundPlan& plan, const float* samples, std::size_t hop, std::size_t count, float* work,
                   float* previous, SoundSums* sums);

    // True where all samples are finite and at most kMaxSample in magnitude.
    bool (*usable)(const float* samples, std::size_t count);

    // Copies samples; -0.0 becomes 0.0.
    void (*take_float)(const float* samples, std::size_t count, float* to);

    // Samples over 32768.
    void (*take_int16)(const std::int16_t* samples, std::size_t count, float* to);
};

// One per file; nullptr where the file was compiled for another architecture.
const SoundKernels* sound_scalar();
const SoundKernels* sound_avx2();
const SoundKernels* sound_neon();

}  // namespace edge_agent
