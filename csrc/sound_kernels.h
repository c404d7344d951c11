// The kernels of sound: what each computes, on which shapes. sound_scalar.cpp is their specification. See kernels.h for
// what a kernel may do.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edge_agent {

// Largest number of STFT frames that one call of `frames` takes, on any instruction set.
constexpr std::size_t kMaxLanes = 8;

// Powers below this (of a spectrum in which a full-scale sine has magnitude 1) count as this: -120 dB.
constexpr float kPowerFloor = 1e-12F;

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

struct SoundKernels {
    // Frames that `frames` computes at once, 1 to kMaxLanes.
    std::size_t lanes;

    // `count` (1..lanes) STFT frames, the f-th starting at samples + f * hop; lane f of `sums` is written for
    // f < count. `previous` [N/2+1] holds the magnitudes of the frame before and receives those of the last one.
    // `work` is 64-byte aligned, lanes * N floats.
    void (*frames)(const SoundPlan& plan, const float* samples, std::size_t hop, std::size_t count, float* work,
                   float* previous, SoundSums* sums);
};

// One per file; nullptr where the file was compiled for another architecture.
const SoundKernels* sound_scalar();
const SoundKernels* sound_avx2();
const SoundKernels* sound_neon();

}  // namespace edge_agent
