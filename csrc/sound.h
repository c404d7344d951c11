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

// Rows of the features: flux, spectral entropy, flatness, energy, zero-crossing rate.
constexpr std::size_t kSoundFeatures = 5;

// [kSoundFeatures, frames] floats, row after row; few of them are kept without taking memory.
class SoundRows {
  public:
    static constexpr std::size_t kSmall = 16;  // frames that take no memory

    // Makes room for that many frames, once.
    void resize(std::size_t frames) {
        frames_ = frames;
        large_.resize(frames > kSmall ? kSoundFeatures * frames : 0);
    }

    std::size_t frames() const { return frames_; }
    std::size_t floats() const { return kSoundFeatures * frames_; }
    const float* data() const { return large_.empty() ? small_ : large_.data(); }
    float* row(std::size_t feature) { return (large_.empty() ? small_ : large_.data()) + feature * frames_; }
    std::vector<float> to_vector() const { return {data(), data() + floats()}; }

  private:
    std::size_t frames_ = 0;
    float small_[kSoundFeatures * kSmall];
    std::vector<float> large_;
};

// Frame f covers the samples [f hop, f hop + window) of everything fed since the start, whatever the chunks were.
// Calls from several threads are served one after the other.
class SoundStream {
  public:
    // `window` a power of two from kMinWindow to kMaxWindow, `hop` from 1 to kMaxHop.
    SoundStream(const KernelTable& kernels, std::size_t window, std::size_t hop);

    // Takes in samples (int16 are divided by 32768); returns the features of the frames that they complete.
    // Throws std::invalid_argument, before anything changes, where a sample is not finite or beyond kMaxSample.
    SoundRows feed(const float* samples, std::size_t count);
    SoundRows feed(const std::int16_t* samples, std::size_t count);

    // The same, unless another thread is at it: then nothing happens and the result is false.
    bool feed_now(const float* samples, std::size_t count, SoundRows* rows);
    bool feed_now(const std::int16_t* samples, std::size_t count, SoundRows* rows);

    // Forgets everything fed so far.
    void reset();

    const KernelTable& kernels() const { return kernels_; }
    std::size_t window() const { return window_; }
    std::size_t hop() const { return hop_; }

  private:
    static constexpr std::size_t kFramesAtOnce = 8;

    void check(const float* samples, std::size_t count) const;
    void check(const std::int16_t*, std::size_t) const {}
    std::size_t frames_after(std::size_t count) const;
    template <class Sample>
    SoundRows feed_any(const Sample* samples, std::size_t count);
    template <class Sample>
    bool feed_any_now(const Sample* samples, std::size_t count, SoundRows* rows);
    template <class Sample>
    void feed_locked(const Sample* samples, std::size_t count, SoundRows* rows);
    std::size_t make_room();
    std::size_t analyze(SoundRows* rows, std::size_t frame);
    void finish(const SoundSums* sums, std::size_t count, SoundRows* rows, std::size_t frame);
    void make_tables();

    const KernelTable& kernels_;
    const std::size_t window_;
    const std::size_t hop_;
    std::mutex mutex_;
    std::vector<float> weights_;
    std::vector<std::uint32_t> row_order_;
    std::vector<float> row_angles_;
    std::vector<float> column_angles_;
    std::vector<float> split_angles_;
    SoundPlan plan_;
    double energy_scale_ = 0.0;
    double inverse_bins_ = 0.0;
    double log_bins_ = 0.0;
    double inverse_log_bins_ = 0.0;
    std::vector<float> work_;      // with room to align
    std::vector<float> previous_;  // magnitudes of the last frame
    bool has_previous_ = false;
    std::vector<float> buffer_;  // the samples from the start of the next frame on are [start_, end_)
    std::size_t start_ = 0;
    std::size_t end_ = 0;
    std::size_t skip_ = 0;  // samples to pass over before the next frame starts, where hop > window
};

}  // namespace edge_agent
