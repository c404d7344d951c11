// A stream of sound cut into STFT frames, and the features of each; knows buffers and state, not Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels.h"

namespace edge_agent {

constexpr std::size_t kMinWindow = 32;
constexpr std::size_t kMaxWindow = 8192;
constexpr std::size_t kMaxHop = std::size_t{1} << 20;

// Samples beyond this magnitude are refused, as NaN and infinity are: nothing computed from them can overflow.
constexpr float kMaxSample = 1048576.0F;

// Rows that feed() returns: flux, spectral entropy, flatness, energy, zero-crossing rate.
constexpr std::size_t kSoundFeatures = 5;

// True where all samples are finite and at most kMaxSample in magnitude.
bool samples_are_usable(const float* samples, std::size_t count);

// Frame f covers the samples [f hop, f hop + window) of everything fed since the start, whatever the chunks were.
// Calls from several threads are served one after the other.
class SoundStream {
  public:
    // `window` a power of two from kMinWindow to kMaxWindow, `hop` from 1 to kMaxHop.
    SoundStream(const KernelTable& kernels, std::size_t window, std::size_t hop);

    // Takes in samples (int16 are divided by 32768) and returns [kSoundFeatures, frames]: the features of the frames
    // that they complete. Throws std::invalid_argument, before anything changes, where a sample is not usable.
    std::vector<float> feed(const float* samples, std::size_t count);
    std::vector<float> feed(const std::int16_t* samples, std::size_t count);

    // Forgets everything fed so far.
    void reset();

    const KernelTable& kernels() const { return kernels_; }
    std::size_t window() const { return window_; }
    std::size_t hop() const { return hop_; }

  private:
    // Where the features of frame f go: element f of each array.
    struct SoundOutput {
        float* flux;
        float* spectral_entropy;
        float* flatness;
        float* energy;
        float* zero_crossing_rate;
    };

    std::size_t frames_after(std::size_t count) const;
    template <class Sample>
    std::vector<float> feed_any(const Sample* samples, std::size_t count);
    template <class Sample>
    void take(const Sample* samples, std::size_t count, const SoundOutput& out);
    std::size_t analyze(const SoundOutput& out, std::size_t frame);
    void finish(const SoundSums& sums, std::size_t count, const SoundOutput& out, std::size_t frame);
    void make_tables();

    const KernelTable& kernels_;
    const std::size_t window_;
    const std::size_t hop_;
    const std::size_t bins_;
    std::mutex mutex_;
    std::vector<float> weights_;
    std::vector<std::uint32_t> bit_reversal_;
    std::vector<float> twiddles_;
    std::vector<float> split_twiddles_;
    SoundPlan plan_;
    double energy_scale_ = 0.0;
    std::vector<float> work_;      // with room to align
    std::vector<float> previous_;  // [bins] magnitudes of the last frame
    bool has_previous_ = false;
    std::vector<float> buffer_;  // samples from the start of the next frame on
    std::size_t filled_ = 0;
    std::size_t skip_ = 0;  // samples to pass over before the next frame starts, where hop > window
};

}  // namespace edge_agent
